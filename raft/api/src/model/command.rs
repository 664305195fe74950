//! What the log carries.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use super::{
    CrawlId, CrawlSpec, EventId, NodeId, OpenSession, Report, ReportAnswer, RequestId, SessionId,
    SessionOpened,
};

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
}

/// What submitting targets did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubmitSummary {
    /// New to the crawl.
    pub accepted: u64,
    /// Known to the crawl already.
    pub duplicates: u64,
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done, nothing to tell.
    Done,
    /// A session was begun.
    SessionOpened(SessionOpened),
    /// A report was applied.
    Report(ReportAnswer),
    /// A crawl was made.
    CrawlCreated(CrawlId),
    /// Targets were added.
    Added(SubmitSummary),
    /// So many accounts were put back.
    Retried(u32),
    /// The state does not allow it.
    Refused(Refusal),
}

/// Why the state machine refused a command. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The session ended; its jobs went to others.
    #[error("session {0} is over; the node has to open a new one")]
    SessionOver(SessionId),
    /// A report came out of order.
    #[error("report {got} of session {session} came out of order; {expected} is next")]
    OutOfOrder {
        /// The session.
        session: SessionId,
        /// The sequence number that came.
        got: u64,
        /// The one that is next.
        expected: u64,
    },
    /// No crawl of this id.
    #[error("there is no crawl {0}; `twm-ctl crawl list` shows them")]
    NoSuchCrawl(CrawlId),
    /// The crawl is in a phase that does not allow it.
    #[error("crawl {crawl} is {phase}; it cannot {verb}")]
    WrongPhase {
        /// The crawl.
        crawl: CrawlId,
        /// Its phase.
        phase: String,
        /// What was asked.
        verb: String,
    },
    /// A chunk of targets is missing before this one.
    #[error("chunk {got} of crawl {crawl} came before chunk {expected}; submit again")]
    MissingChunk {
        /// The crawl.
        crawl: CrawlId,
        /// The chunk that came.
        got: u64,
        /// The one that is next.
        expected: u64,
    },
    /// The submission makes no sense.
    #[error("{0}")]
    BadSpec(String),
    /// The account is not in the error list.
    #[error("account {user} is not in the error list of crawl {crawl}")]
    NotFailed {
        /// The crawl.
        crawl: CrawlId,
        /// The account.
        user: UserId,
    },
    /// The command belongs to a later version of the cluster.
    #[error(
        "{what} needs cluster version {needs} and the cluster is at {cluster}; it rises by itself when all members run a release that knows it (`twm-ctl status` shows what each runs)"
    )]
    NeedsVersion {
        /// The command.
        what: String,
        /// The version that it came with.
        needs: u32,
        /// The cluster's.
        cluster: u32,
    },
    /// Only ended crawls are deleted.
    #[error(
        "crawl {crawl} is {phase} with {open} accounts under way; only an ended crawl can be deleted: `twm-ctl crawl cancel {crawl}` ends it"
    )]
    NotEnded {
        /// The crawl.
        crawl: CrawlId,
        /// Its phase.
        phase: String,
        /// Accounts under way.
        open: u64,
    },
    /// The cluster's version was to be raised by more than one.
    #[error("the cluster's version is raised one by one, from {from} not to {to}")]
    VersionSkipped {
        /// The cluster's.
        from: u32,
        /// What was asked for.
        to: u32,
    },
    /// So many nodes are drained that no other can be.
    #[error(
        "node {node} cannot be drained too: {most} are already, which is the most; `twm-ctl node undrain` those that are no more"
    )]
    TooManyDrained {
        /// The node.
        node: NodeId,
        /// How many can be.
        most: u32,
    },
}
