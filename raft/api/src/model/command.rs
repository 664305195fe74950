//! What a change of the state answered.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use super::{CrawlId, ReportAnswer, SessionId, SessionOpened};

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
}
