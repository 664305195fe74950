//! What goes wrong.

/// A kind of fault. Each fault ends some time after it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Kill,
    KillAll,
    Freeze,
    Terminate,
    CutLink,
    CutNode,
    Bridge,
    CutHub,
    SlowLink,
    FullDisk,
    FullDataset,
    MoveClock,
    KillApi,
    BadApi,
    KillRedis,
    FreezeRedis,
    ReplaceDisk,
    SwapDisks,
    Unmount,
    AddMember,
    RemoveMember,
    TransferLeader,
    RollingRestart,
    Upgrade,
}

impl Fault {
    /// All of them, with their weights and their descriptions in the report.
    pub(super) const ALL: &[(Self, u64, &str)] = &[
        (Self::Kill, 10, "`kill -9` of a node"),
        (Self::KillAll, 2, "`kill -9` of all nodes"),
        (Self::Freeze, 6, "a node's process stopped for up to 8 s"),
        (Self::Terminate, 4, "SIGTERM to a node"),
        (Self::CutLink, 6, "one direction of a link cut"),
        (Self::CutNode, 6, "a node cut off from all others"),
        (Self::Bridge, 2, "two halves that see one node in common"),
        (Self::CutHub, 4, "a node cut off from API, Redis and operators"),
        (Self::SlowLink, 4, "a node's link at 100 to 2,000 kbit/s"),
        (Self::FullDisk, 3, "a data disk full"),
        (Self::FullDataset, 3, "a dataset's disk full"),
        (Self::MoveClock, 5, "a wall clock moved by up to two hours"),
        (Self::KillApi, 4, "the API's connections broken, its port closed"),
        (Self::BadApi, 6, "the API refuses, breaks off, repeats, disorders"),
        (Self::KillRedis, 4, "`kill -9` of Redis"),
        (Self::FreezeRedis, 3, "Redis' process stopped"),
        (Self::ReplaceDisk, 3, "a data disk lost, and replaced"),
        (Self::SwapDisks, 2, "two nodes started with each other's disk"),
        (Self::Unmount, 2, "nodes started without their disk"),
        (Self::AddMember, 4, "a member added"),
        (Self::RemoveMember, 3, "a member removed"),
        (Self::TransferLeader, 4, "the leadership transferred"),
        (Self::RollingRestart, 2, "a rolling restart"),
        (Self::Upgrade, 3, "a node started with the other build"),
    ];

    /// The fault for a number below the sum of all weights.
    pub(super) fn drawn(mut number: u64) -> Self {
        for (fault, weight, _) in Self::ALL {
            match number.checked_sub(*weight) {
                Some(rest) => number = rest,
                None => return *fault,
            }
        }
        Self::Kill
    }

    /// The sum of all weights.
    pub(super) fn weights() -> u64 {
        Self::ALL.iter().map(|(_, weight, _)| weight).sum()
    }
}
