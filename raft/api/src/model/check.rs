//! Comparing replicas.

use serde::{Deserialize, Serialize};

use super::MemberId;

/// Checksums of a replica's state after one log entry, by part. They are equal on all replicas that have applied the
/// same entries, regardless of restarts and of how much of the state is on disk.
///
/// Records that a replica keeps on disk only are not covered: failed and gone accounts, and the accounts of crawls
/// that are over. The checksums of the store itself protect those.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StateDigest {
    /// Cluster time, version, counters, drained nodes, storages, and the ledger of money.
    pub cluster: u64,
    /// Responses remembered by request id.
    pub requests: u64,
    /// Specification, phase and counters of all crawls.
    pub crawls: u64,
    /// Known, waiting and discovered accounts of crawls that are not over.
    pub accounts: u64,
    /// Jobs with a record of their own, and the writer of each file.
    pub jobs: u64,
    /// Sessions and the jobs that they hold.
    pub sessions: u64,
    /// Who may become a member, and who may no longer.
    pub members: u64,
    /// Events kept for a mirror.
    pub events: u64,
}

impl StateDigest {
    /// The parts and their names.
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

/// A replica's answer to a request for its digest at a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestAt {
    /// Index of the last applied entry.
    pub applied: u64,
    /// The digest, once the replica has applied the entry. It stays absent if the replica had applied the entry
    /// before it was asked.
    pub digest: Option<StateDigest>,
}

/// The digests of all replicas at one log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCheck {
    /// Index of the entry.
    pub index: u64,
    /// The members, in order.
    pub replicas: Vec<CheckedReplica>,
}

/// One member's replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedReplica {
    /// The member.
    pub member: MemberId,
    /// The result.
    pub outcome: CheckOutcome,
}

/// The result of asking a replica for its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckOutcome {
    /// Its digest.
    Digest(StateDigest),
    /// The replica did not apply the entry in time, or skipped it with a snapshot.
    NotThere {
        /// Index of the last applied entry.
        applied: u64,
    },
    /// The replica did not answer, for this reason.
    Silent(String),
}
