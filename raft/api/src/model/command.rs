//! What a change of the state answered.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use super::{CrawlId, NodeId, ReportAnswer, SessionId, SessionOpened, StorageId};

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
    /// The roster does not allow it.
    #[error("{0}")]
    Roster(String),
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
    /// The node's files are elsewhere.
    #[error(
        "node {node} has its files in the output with storage {known:016x}, and this output's is {found:016x}: another volume \
         may be mounted; mount the right one, or start the node with --adopt-output to give up what only the other one has",
        known = known.0, found = found.0
    )]
    OtherStorage {
        /// The node.
        node: NodeId,
        /// Where its files are.
        known: StorageId,
        /// Where it would write.
        found: StorageId,
    },
    /// Another node writes there.
    #[error(
        "node {node} writes to this output as well (storage {storage:016x}); give each node its own --output, or all of them \
         --shared-output",
        storage = storage.0
    )]
    StorageInUse {
        /// Where.
        storage: StorageId,
        /// The other node.
        node: NodeId,
    },
    /// More nodes than can be kept in mind.
    #[error("{most} nodes have files already, which is the most; remove members that are no more")]
    TooManyStorages {
        /// How many can have.
        most: u32,
    },
    /// The opening of a session was sent before another one, which the node has now.
    #[error("node {node} has opened session {session} since; this attempt to open one came late")]
    SessionNewer {
        /// The node.
        node: NodeId,
        /// The session that it has.
        session: SessionId,
    },
}
