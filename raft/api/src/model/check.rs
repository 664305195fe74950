//! Comparing replicas.

use serde::{Deserialize, Serialize};

use super::MemberId;

/// Checksums of a replica's state after one entry of the log, by part. They are equal on all replicas that have applied the
/// same entries, however often these were restarted and whatever of the state is on their disks.
///
/// Not in it are records that a replica keeps on its disk alone: failed and gone accounts, and the accounts of crawls that
/// are over. Checksums of the store itself guard those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateDigest {
    /// Cluster time, version, counters, drained nodes and storages.
    pub cluster: u64,
    /// Answers to requests that may be repeated.
    pub requests: u64,
    /// Specification, phase and counters of all crawls.
    pub crawls: u64,
    /// Known, waiting and discovered accounts of the crawls that are not over.
    pub accounts: u64,
    /// Jobs with a record of their own, and which of them writes which file.
    pub jobs: u64,
    /// Sessions with what they hold.
    pub sessions: u64,
    /// Who may become a member, and who may not any more.
    pub members: u64,
    /// Events that are kept for a mirror.
    pub events: u64,
}

impl StateDigest {
    /// The parts with their names.
    pub fn parts(&self) -> [(&'static str, u64); 8] {
        [
            ("cluster", self.cluster),
            ("requests", self.requests),
            ("crawls", self.crawls),
            ("accounts", self.accounts),
            ("jobs", self.jobs),
            ("sessions", self.sessions),
            ("members", self.members),
            ("events", self.events),
        ]
    }

    /// The names of the parts in which two digests differ.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.parts().into_iter().zip(other.parts());
        pairs.filter(|(own, other)| own != other).map(|((name, _), _)| name).collect()
    }

    /// One checksum of all parts.
    pub fn sum(&self) -> u64 {
        self.parts().iter().fold(0, |sum: u64, (_, part)| sum.rotate_left(7).wrapping_add(*part))
    }
}

/// What a replica answers that was asked for its digest at an entry of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestAt {
    /// Log index of the last entry that the replica has applied.
    pub applied: u64,
    /// The digest, once the replica has applied the entry. Absent for good when it had applied it before it was asked.
    pub digest: Option<StateDigest>,
}

/// All replicas at one entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCheck {
    /// Log index of the entry.
    pub index: u64,
    /// The members, in order.
    pub replicas: Vec<CheckedReplica>,
}

/// One member's replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedReplica {
    /// The member.
    pub member: MemberId,
    /// What came of it.
    pub outcome: CheckOutcome,
}

/// What came of asking a replica for its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// Its digest.
    Digest(StateDigest),
    /// It has not applied the entry in time, or skipped it by a snapshot.
    NotThere {
        /// Log index of the last entry that it has applied.
        applied: u64,
    },
    /// It did not answer, for this reason.
    Silent(String),
}
