//! Faults of a simulated world.

use crate::model::NodeId;

/// A fault, or the end of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// One direction of a link drops everything.
    CutLink,
    /// A node is isolated from all others.
    CutNode,
    /// Two halves that have only one node in common.
    Bridge,
    /// A node on a slow disk crashes again and again, often before its vote is synced, and reaches the other half of the
    /// others each time.
    CrashLoop,
    /// A link is slower.
    SlowLink,
    /// Messages are lost, doubled, or reordered.
    Storm,
    /// The network works again.
    ClearNetwork,
    /// A process is killed; what was not synced is lost.
    Kill,
    /// All processes are killed.
    KillAll,
    /// A process is frozen for a while.
    Freeze,
    /// Syncs take longer.
    SlowDisk,
    /// A sync fails.
    FailSync,
    /// Disks work again.
    HealDisks,
    /// A disk is lost and replaced by an empty one.
    ReplaceDisk,
    /// Nodes start without their disks, which come back later.
    Unmount,
    /// A wall clock jumps.
    JumpClock,
    /// A clock runs faster or slower.
    Drift,
    /// A node restarts with a program that supports one more version of the cluster.
    Upgrade,
    /// The leadership is transferred to another node.
    TransferLeader,
    /// A new node joins.
    AddMember,
    /// A node that joined later is removed.
    RemoveMember,
    /// A learner is promoted.
    Promote,
    /// A voter is demoted.
    Demote,
}

impl Fault {
    /// All of them with their weights.
    pub(super) const DRAWN: &[(Self, u64)] = &[
        (Self::CutLink, 6),
        (Self::CutNode, 6),
        (Self::Bridge, 2),
        (Self::CrashLoop, 2),
        (Self::SlowLink, 4),
        (Self::Storm, 4),
        (Self::ClearNetwork, 12),
        (Self::Kill, 10),
        (Self::KillAll, 2),
        (Self::Freeze, 5),
        (Self::SlowDisk, 4),
        (Self::FailSync, 2),
        (Self::HealDisks, 4),
        (Self::ReplaceDisk, 2),
        (Self::Unmount, 2),
        (Self::JumpClock, 3),
        (Self::Drift, 2),
        (Self::Upgrade, 3),
        (Self::TransferLeader, 3),
        (Self::AddMember, 1),
        (Self::RemoveMember, 3),
        (Self::Promote, 3),
        (Self::Demote, 3),
    ];

    /// The fault for a number below the sum of all weights.
    pub(super) fn drawn(mut number: u64) -> Self {
        for (fault, weight) in Self::DRAWN {
            match number.checked_sub(*weight) {
                Some(rest) => number = rest,
                None => return *fault,
            }
        }
        Self::ClearNetwork
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::DRAWN.iter().map(|(fault, _)| *fault)
    }

    /// Whether it affects one node, rather than links or all nodes.
    pub(super) fn befalls_a_node(self) -> bool {
        let of_a_node = [
            Self::CutNode,
            Self::CrashLoop,
            Self::Kill,
            Self::Freeze,
            Self::SlowDisk,
            Self::FailSync,
            Self::ReplaceDisk,
            Self::JumpClock,
            Self::Drift,
            Self::Upgrade,
            Self::RemoveMember,
            Self::Promote,
            Self::Demote,
        ];
        of_a_node.contains(&self)
    }

    /// The sum of all weights.
    pub(super) fn weights() -> u64 {
        Self::DRAWN.iter().map(|(_, weight)| weight).sum()
    }
}

/// Scheduled ends of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// It is started.
    Start(NodeId),
    /// It is killed, and started with its own disk.
    Remount(NodeId, u32),
}
