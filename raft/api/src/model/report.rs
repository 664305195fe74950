//! What a node and the tracker say to each other about jobs.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_DISCOVERED, MAX_FINDINGS, at_most};

use super::{GoneReason, Job, JobId, LeaseId, NodeId, Operation, Progress, SessionId, StorageId};

/// Begins a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSession {
    /// The node.
    pub node: NodeId,
    /// Names this opening: see [`OpenSession::incarnation`]. A repeated opening with the same number is the same session.
    /// Another number ends the node's earlier session, if it names a later opening.
    pub incarnation: u64,
    /// Where the node's dataset files lie.
    pub storage: StorageId,
    /// Workers, for status.
    pub workers: u32,
    /// Whether several nodes write there.
    pub shared: bool,
    /// Whether an operator wants the node's files there from now on, wherever they were before.
    pub adopt: bool,
}

/// Bits of an incarnation that are drawn at random. The others count entries of the log: 2^44 are written in 13 years at 40,000
/// a second.
const RANDOM_BITS: u32 = 20;

impl OpenSession {
    /// The number of an opening: how far the node's replica had applied the log when the node began to ask, and a random
    /// part.
    pub fn incarnation(applied: u64, random: u64) -> u64 {
        applied << RANDOM_BITS | random & ((1 << RANDOM_BITS) - 1)
    }

    /// Whether the node asked for this session before the other one was opened, which its replica would know. Then it is an
    /// attempt that comes late: the node has gone on to the other session.
    pub fn is_older_than(&self, other: SessionId) -> bool {
        self.incarnation >> RANDOM_BITS < other.0
    }
}

/// The session that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionOpened {
    /// Its id.
    pub session: SessionId,
    /// Time to live without a report, ms.
    pub ttl_ms: u64,
}

/// How many jobs a node would take now, by operation and together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wants {
    /// Jobs in all.
    pub total: u16,
    /// Jobs of one operation at most, by [`Operation::index`]: what the rate budgets allow.
    pub each: [u16; 4],
}

impl Wants {
    /// No job.
    pub const NONE: Self = Self { total: 0, each: [0; 4] };

    /// Any jobs, up to `total`.
    pub fn any(total: u16) -> Self {
        Self { total, each: [total; 4] }
    }

    /// Whether a job of this operation would be taken.
    pub fn takes(&self, operation: Operation) -> bool {
        self.total > 0 && self.each[operation.index()] > 0
    }

    /// Counts one granted job. Only after [`Self::takes`].
    pub fn take(&mut self, operation: Operation) {
        self.total -= 1;
        self.each[operation.index()] -= 1;
    }
}

/// Something a worker found out about its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The walk is done and the draft is synced. With `file` the tracker's answer says when to
    /// publish it; without (nothing fetched) the job is over.
    Completed {
        /// Whether there is a draft to publish.
        file: bool,
        /// Tweets, followers or accounts looked up.
        items: u64,
    },
    /// The draft has its final name.
    Published,
    /// The draft that was to be published is not there, and nothing proves that it was published. The job runs again.
    DraftLost,
    /// The job has come this far.
    Advanced(Progress),
    /// The rate budget is spent on all of the node's addresses.
    Limited {
        /// Where to go on.
        progress: Option<Progress>,
        /// Not before this many ms from now.
        after_ms: u64,
    },
    /// The account cannot be crawled.
    Gone(GoneReason),
    /// The attempt failed.
    Failed {
        /// Where to go on.
        progress: Option<Progress>,
        /// What happened, for the error list.
        reason: String,
        /// Not before this many ms from now.
        after_ms: u64,
        /// Whether another attempt makes sense.
        retry: bool,
    },
    /// The node stops and gives the job back.
    HandedBack {
        /// Where to go on.
        progress: Option<Progress>,
    },
    /// The file that the job reads is not on the node's storage.
    InputMissing,
    /// An analysis looked these accounts up.
    Discovered {
        /// Those that the follow rule admits.
        #[serde(deserialize_with = "at_most::<{ MAX_DISCOVERED }, _, _>")]
        admitted: Vec<UserId>,
        /// The others.
        #[serde(deserialize_with = "at_most::<{ MAX_DISCOVERED }, _, _>")]
        discarded: Vec<UserId>,
        /// How far the analysis has come.
        progress: Progress,
    },
}

/// What a node tells the tracker. One report of a session is under way at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The node's session.
    pub session: SessionId,
    /// Counts the session's reports from 1. A repeated number is the same report: it changes
    /// nothing and gets the same answer.
    pub sequence: u64,
    /// What its workers found, in order.
    #[serde(deserialize_with = "at_most::<{ MAX_FINDINGS }, _, _>")]
    pub findings: Vec<(JobId, LeaseId, Finding)>,
    /// How many jobs it would take.
    pub wants: Wants,
}

/// A draft to be given its final name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// The job.
    pub job: JobId,
    /// The lease that the publication is confirmed with.
    pub lease: LeaseId,
    /// The lease under whose name the draft lies.
    pub draft: LeaseId,
    /// The account.
    pub user: UserId,
    /// What was done, hence which kind of file.
    pub operation: Operation,
}

/// Jobs granted by one entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Granted {
    /// The jobs.
    pub jobs: Vec<Job>,
}

/// The tracker's answer to a report.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReportAnswer {
    /// New jobs.
    pub granted: Vec<Job>,
    /// Drafts to publish: accepted completions, and those that an ended session left behind.
    /// Repeated until confirmed with [`Finding::Published`].
    pub publish: Vec<Publication>,
    /// Leases of the report that are not valid any more. What they wrote must be discarded.
    pub stale: Vec<LeaseId>,
}
