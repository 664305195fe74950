//! Events: what the state machine tells a mirror.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use super::{CrawlId, GoneReason, JobId, LeaseId, Mark, NodeId, Operation, Operations, SessionId};

/// The position of an event: the log entry and the event's place among those of the entry, from 1. Place 0
/// precedes all events of the entry. Formatted as a Redis stream id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct EventId {
    /// Log index of the entry.
    pub index: u64,
    /// Place among the entry's events.
    pub place: u64,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.index, self.place)
    }
}

/// A text that is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no event id; one looks like 1024-3")]
pub struct NoEventId(pub String);

impl FromStr for EventId {
    type Err = NoEventId;

    fn from_str(text: &str) -> Result<Self, NoEventId> {
        let parts = text
            .split_once('-')
            .and_then(|(index, place)| Some(Self { index: index.parse().ok()?, place: place.parse().ok()? }));
        parts.ok_or_else(|| NoEventId(text.to_owned()))
    }
}

/// An event, derived from the log and therefore the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in the log.
    pub id: EventId,
    /// Number of the event, counted from 1 without gaps.
    pub number: u64,
    /// Cluster time, ms since the cluster's first leader.
    pub at: u64,
    /// What.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Of a crawl.
    Crawl {
        /// The crawl.
        crawl: CrawlId,
        /// What changed.
        change: CrawlChange,
    },
    /// Of one operation of one account.
    Job {
        /// The crawl.
        crawl: CrawlId,
        /// The account's job.
        job: JobId,
        /// The account.
        user: UserId,
        /// The operation.
        operation: Operation,
        /// What changed.
        change: JobChange,
    },
    /// Of a node's session.
    Session {
        /// The node.
        node: NodeId,
        /// The session.
        session: SessionId,
        /// What changed.
        change: SessionChange,
    },
    /// A node leads.
    Leader {
        /// The node.
        node: NodeId,
        /// Its term.
        term: u64,
    },
    /// A part of a limit of money was reached.
    Money(Mark),
}

/// What happens to a crawl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrawlChange {
    /// It was made.
    Submitted {
        /// The operator's name for it.
        name: String,
        /// What is done to its accounts.
        operations: Operations,
    },
    /// A chunk of targets was submitted.
    Targets {
        /// New to the crawl.
        accepted: u64,
        /// Known already.
        duplicates: u64,
    },
    /// All targets are in.
    Sealed,
    /// Paused: nothing is granted until it is resumed.
    Paused,
    /// Resumed.
    Resumed,
    /// Cancelled by an operator.
    Cancelled,
    /// Nothing is left to do.
    Finished,
    /// Failed accounts were put back into the queue.
    Retried {
        /// How many.
        accounts: u64,
    },
    /// Deleted after it had ended.
    Deleted,
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobChange {
    /// Granted to a node.
    Granted {
        /// The node.
        node: NodeId,
        /// The lease.
        lease: LeaseId,
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// The job saved its progress.
    Progressed {
        /// Where a later attempt would continue.
        cursor: String,
        /// Tweets or followers on disk; absent for an analysis.
        items: Option<u64>,
    },
    /// Accounts were looked up.
    Discovered {
        /// New accounts that the follow rule admitted.
        admitted: u64,
        /// New, and not.
        discarded: u64,
    },
    /// Everything is fetched; the draft is not published yet.
    Fetched {
        /// Tweets or followers.
        items: u64,
    },
    /// The operation is complete, and its file, if it has one, is published.
    Completed {
        /// Tweets, followers or accounts looked up.
        items: u64,
    },
    /// It waits for a rate budget.
    Limited {
        /// For this long, ms.
        after_ms: u64,
    },
    /// The account cannot be crawled.
    Gone {
        /// Why.
        reason: GoneReason,
    },
    /// An attempt failed; another one follows.
    Retried {
        /// What happened.
        reason: String,
        /// Not before this many ms.
        after_ms: u64,
    },
    /// It failed for good and is in the error list.
    Failed {
        /// The error of the last attempt.
        reason: String,
        /// Where it stood.
        cursor: Option<String>,
    },
    /// The job went back to the queue: its node handed it back or fell silent, or its input is on another
    /// storage.
    Returned,
    /// The account has reached a final state; its job is over.
    Ended {
        /// Which.
        state: FinalState,
    },
}

/// The final state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalState {
    /// Something was completed and nothing failed.
    Completed,
    /// It cannot be crawled.
    Gone,
    /// It is in the error list.
    Failed,
}

impl FinalState {
    /// The name used in tables and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Gone => "gone",
            Self::Failed => "failed",
        }
    }
}

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionChange {
    /// It began.
    Opened,
    /// It is over.
    Ended {
        /// Whether the node closed it; otherwise it was silent for its time to live.
        graceful: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = EventId { index: 1024, place: 3 };
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(EventId { index: 9, place: 1 } < EventId { index: 10, place: 0 });
        for text in ["", "7", "7-", "-7", "7-1-2", "a-1"] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
    }
}
