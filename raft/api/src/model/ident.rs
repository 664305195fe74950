//! Identifiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A node, as given by `twm-node --id`. Positive.
pub type NodeId = u64;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

/// A cluster id, drawn at random when the cluster is formed. Everything that belongs to the cluster carries it: data
/// directories, snapshots, outputs, greetings. A cluster's *name* is for people and need not be unique.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a cluster id, which has 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no cluster id, which has 32 hexadecimal digits")]
pub struct NoClusterId(pub String);

impl FromStr for ClusterId {
    type Err = NoClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = Some(text).filter(|text| text.len() == 32);
        let id = digits.and_then(|text| u128::from_str_radix(text, 16).ok());
        id.map(Self).ok_or_else(|| NoClusterId(text.to_owned()))
    }
}

number_id! {
    /// The id of a data directory, drawn at random when it is first used. A node whose data directory was lost comes
    /// back with another disk, and is another member to Raft.
    DiskId
}
/// A member of a cluster as Raft knows it: a node with one data directory. A node whose data directory was lost comes
/// back as another member, so that no disk is ever credited with what another one acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct MemberId {
    /// The node.
    pub node: NodeId,
    /// Its data directory.
    pub disk: DiskId,
}

/// A member on disk 0, which no data directory uses: for tests of components that know no disks.
impl From<NodeId> for MemberId {
    fn from(node: NodeId) -> Self {
        Self { node, disk: DiskId(0) }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.node, self.disk.0)
    }
}

number_id! {
    /// A crawl: one submission. Counted from 1.
    CrawlId
}
number_id! {
    /// A session: one incarnation of a node. The id is the log index of its opening, so a later session has a
    /// larger id.
    SessionId
}
number_id! {
    /// One account on its way through a crawl's operations. Counted from 1.
    JobId
}
number_id! {
    /// The place where dataset files are stored: drawn at random when a data directory is created, or shared
    /// by all nodes that share an output directory.
    StorageId
}
number_id! {
    /// The fencing token of a granted job: the log index of the grant and the job's position in it. A later
    /// grant always has a larger lease.
    LeaseId
}

impl LeaseId {
    const SLOT_BITS: u32 = 10;

    /// Most jobs that one log entry can grant.
    pub const SLOTS: usize = 1 << Self::SLOT_BITS;

    /// The lease of the `slot`-th job granted by the entry at `log_index`.
    pub fn at(log_index: u64, slot: usize) -> Self {
        debug_assert!(slot < Self::SLOTS, "a grant is capped at LeaseId::SLOTS jobs");
        Self((log_index << Self::SLOT_BITS) | slot as u64)
    }

    /// Log index of the grant.
    pub fn log_index(self) -> u64 {
        self.0 >> Self::SLOT_BITS
    }
}

impl FromStr for CrawlId {
    type Err = UnknownCrawl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| UnknownCrawl(text.to_owned()))
    }
}

/// A text that is not a crawl id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no crawl id; `twm-ctl crawl list` shows them")]
pub struct UnknownCrawl(pub String);

/// Identifies one write of one client, so that a retried write is applied once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// Drawn at random by the client when it starts.
    pub client: u64,
    /// Counts the client's writes.
    pub sequence: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.client, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_grant_has_a_larger_lease() {
        assert!(LeaseId::at(7, LeaseId::SLOTS - 1) < LeaseId::at(8, 0));
        assert_eq!(LeaseId::at(8, 3).log_index(), 8);
    }
}
