//! Responses to changes of the state.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use super::{CrawlId, NodeId, ReportAnswer, SessionId, SessionOpened, SharesAnswer, SpendAnswer, StorageId};

/// The result of submitting targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubmitSummary {
    /// New to the crawl.
    pub accepted: u64,
    /// Already known to the crawl.
    pub duplicates: u64,
}

/// The response to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// Done; there is nothing to return.
    Done,
    /// A session was opened.
    SessionOpened(SessionOpened),
    /// A report was applied.
    Report(ReportAnswer),
    /// A crawl was created.
    CrawlCreated(CrawlId),
    /// Targets were added.
    Added(SubmitSummary),
    /// This many accounts were put back into the queue.
    Retried(u32),
    /// The state does not allow it.
    Refused(Refusal),
    /// A report of money was applied.
    Spent(SpendAnswer),
    /// A report about shared budgets was applied.
    Shares(SharesAnswer),
}

/// Why the state machine refused a command. A refused command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The session has ended; its jobs went to others.
    #[error("session {0} is over; the node has to open a new one")]
    SessionOver(SessionId),
    /// A report came out of order.
    #[error("report {got} of session {session} came out of order; {expected} is next")]
    OutOfOrder {
        /// The session.
        session: SessionId,
        /// The sequence number that arrived.
        got: u64,
        /// The sequence number that was expected.
        expected: u64,
    },
    /// No crawl has this id.
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
        /// The chunk that arrived.
        got: u64,
        /// The chunk that was expected.
        expected: u64,
    },
    /// The specification of the crawl is invalid.
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
    /// The command belongs to a newer version of the cluster.
    #[error(
        "{what} needs cluster version {needs} and the cluster is at {cluster}; it rises by itself when all members run a release that knows it (`twm-ctl status` shows what each runs)"
    )]
    NeedsVersion {
        /// The command.
        what: String,
        /// The version that introduced it.
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
    /// The cluster's version would have risen by more than one.
    #[error("the cluster's version is raised one by one, from {from} not to {to}")]
    VersionSkipped {
        /// The cluster's.
        from: u32,
        /// The version asked for.
        to: u32,
    },
    /// The largest number of nodes is drained already.
    #[error(
        "node {node} cannot be drained too: {most} nodes are drained, which is the limit; `twm-ctl node undrain` those that no longer exist"
    )]
    TooManyDrained {
        /// The node.
        node: NodeId,
        /// The largest number.
        most: u32,
    },
    /// The node's files are in another output.
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
        /// The output that it would write to.
        found: StorageId,
    },
    /// Another node writes to this output.
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
    /// There are more nodes than the state can record.
    #[error("{most} nodes have files already, which is the most; remove members that are no more")]
    TooManyStorages {
        /// The largest number.
        most: u32,
    },
    /// This request to open a session was sent before the one that opened the node's current session.
    #[error("node {node} has opened session {session} since; this attempt to open one came late")]
    SessionNewer {
        /// The node.
        node: NodeId,
        /// The current session.
        session: SessionId,
    },
    /// The ledger of money does not allow it.
    #[error("{0}")]
    Spend(String),
}
