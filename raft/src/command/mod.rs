//! What the log carries. Nodes alone make commands, from the requests of [`api::model`]: what a client may ask for is
//! told there.

mod requested;
mod roster;
mod version;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

pub use roster::RosterChange;

use api::model::{CrawlId, CrawlSpec, EventId, NodeId, OpenSession, Report, RequestId, SessionId, Write};

/// Times that the leader's settings give to the state machine. They travel with each command, so
/// that every replica applies the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a local storage may be without a session before what only it holds is fetched
    /// again elsewhere, ms.
    pub storage_grace_ms: u32,
    /// How long a session lives without a report, ms.
    pub session_ttl_ms: u32,
    /// Attempts after which a failing job goes to the error list.
    pub max_attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { storage_grace_ms: 30_000, session_ttl_ms: 3_000, max_attempts: 5 }
    }
}

/// One log entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The leader's cluster time, ms since the cluster's first leader. Never wall-clock time; the
    /// state machine takes the larger of this and its own.
    pub now: u64,
    /// Settings that matter to this command.
    pub limits: Limits,
    /// What changes.
    pub mutation: Mutation,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutation {
    /// Time passed: ends delays and waits for absent storages.
    Tick,
    /// A node begins a session.
    OpenSession(OpenSession),
    /// A node reports.
    Report(Report),
    /// A session is over: closed by its node, or silent for its time to live.
    EndSession {
        /// The session.
        session: SessionId,
        /// Whether the node itself closed it.
        graceful: bool,
    },
    /// Makes an empty crawl in phase loading.
    CreateCrawl {
        /// The write's name.
        request: RequestId,
        /// What is asked for.
        spec: CrawlSpec,
    },
    /// Adds targets to a loading crawl. Needs no request id: a target twice counts once, and `chunk`
    /// keeps the counter of duplicates right.
    AddTargets {
        /// The crawl.
        crawl: CrawlId,
        /// Counts the submission's chunks of targets, and apart from them those of seeds, from 0; a chunk that was
        /// applied already is not again.
        chunk: u64,
        /// The targets.
        users: Vec<UserId>,
        /// Whether these count as seen only (`--seeds`) and are not crawled.
        seeds: bool,
    },
    /// All targets are in.
    SealCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Stops granting.
    PauseCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Goes on granting.
    ResumeCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Stops for good.
    CancelCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Puts failed accounts back into the queue, at most `limit` of them.
    RetryErrors {
        /// The write's name.
        request: RequestId,
        /// The crawl.
        crawl: CrawlId,
        /// One account, or all.
        user: Option<UserId>,
        /// At most this many.
        limit: u32,
    },
    /// Stops or goes on granting jobs to a node.
    Drain {
        /// The node.
        node: NodeId,
        /// Whether it is drained.
        drained: bool,
    },
    /// A leader tells the term that it leads.
    Lead {
        /// The node.
        node: NodeId,
        /// The term.
        term: u64,
    },
    /// Sets how much of what happens is kept for a mirror.
    KeepEvents {
        /// Most bytes; 0 when there is no mirror.
        bytes: u64,
    },
    /// A mirror has passed on what happened.
    EventsPassed {
        /// All up to here.
        through: EventId,
    },
    /// All members can do what this version of the cluster needs. Versions are raised one by one.
    RaiseVersion {
        /// The new version.
        to: u32,
    },
    /// Forgets a crawl that has ended, with all that belongs to it.
    DeleteCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Changes who may become a member, and who may not any more.
    Roster(RosterChange),
    /// What an operator changes, once, however often it comes.
    Once {
        /// The write's name.
        request: RequestId,
        /// The change.
        write: Write,
    },
}
