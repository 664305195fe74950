//! The commands of the log. Only nodes create them, from the requests in [`api::model`], which defines what clients
//! may ask for.

mod requested;
mod roster;
mod version;

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

pub use roster::RosterChange;

use api::model::{
    CrawlId, CrawlSpec, EventId, NodeId, OpenSession, Report, RequestId, SessionId, ShareReport, SourceWants,
    SpendReport, Write,
};

use crate::state::shares::Moment;

/// Settings of the leader that the state machine depends on. They travel with each command, so that every
/// replica applies the same ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long a local storage may be without a session before its unpublished work is fetched again
    /// elsewhere, ms.
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
    /// Settings that this command depends on.
    pub limits: Limits,
    /// What changes.
    pub mutation: Mutation,
}

/// A change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mutation {
    /// Advances cluster time: ends delays and gives up absent storages.
    Tick,
    /// Opens a session of a node.
    OpenSession(OpenSession),
    /// A node reports.
    Report(Report),
    /// Ends a session: closed by its node, or silent for its time to live.
    EndSession {
        /// The session.
        session: SessionId,
        /// Whether the node itself closed it.
        graceful: bool,
    },
    /// Creates an empty crawl in phase loading.
    CreateCrawl {
        /// The write's name.
        request: RequestId,
        /// What is asked for.
        spec: CrawlSpec,
    },
    /// Adds targets to a loading crawl. It needs no request id: a target that is added twice counts once, and
    /// `chunk` keeps the counter of duplicates correct.
    AddTargets {
        /// The crawl.
        crawl: CrawlId,
        /// Number of the chunk, from 0, counted separately for targets and seeds. A chunk that was applied already is
        /// not applied again.
        chunk: u64,
        /// The targets.
        users: Vec<UserId>,
        /// Whether the accounts only count as seen (`--seeds`) and are not crawled.
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
    /// Resumes granting.
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
    /// Stops or resumes granting jobs to a node.
    Drain {
        /// The node.
        node: NodeId,
        /// Whether it is drained.
        drained: bool,
    },
    /// A leader announces its term.
    Lead {
        /// The node.
        node: NodeId,
        /// The term.
        term: u64,
    },
    /// Sets how many bytes of events are kept for a mirror.
    KeepEvents {
        /// Most bytes; 0 when there is no mirror.
        bytes: u64,
    },
    /// A mirror has passed on events.
    EventsPassed {
        /// All events up to this one.
        through: EventId,
    },
    /// Raises the cluster's version by one; all members support it.
    RaiseVersion {
        /// The new version.
        to: u32,
    },
    /// Deletes a crawl that has ended and everything that belongs to it.
    DeleteCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
    /// Changes who may become a member, and who may no longer.
    Roster(RosterChange),
    /// An operator's change that takes effect once, however often it is proposed.
    Once {
        /// The write's name.
        request: RequestId,
        /// The change.
        write: Write,
    },
    /// A node reports, and wants jobs of other sources than the default one.
    ReportOf {
        /// The report.
        report: Report,
        /// What it wants of these sources.
        others: Vec<SourceWants>,
    },
    /// A session reports what became of its money, and takes more.
    Spend {
        /// The session.
        session: SessionId,
        /// The report.
        report: SpendReport,
    },
    /// A session reports on shared budgets.
    Shares {
        /// The report.
        report: ShareReport,
        /// When the leader proposed it.
        moment: Moment,
    },
}

impl Mutation {
    /// The report, if the command is one.
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Report(report) | Self::ReportOf { report, .. } => Some(report),
            _ => None,
        }
    }

    /// The request id, if the command has one.
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::CreateCrawl { request, .. }
            | Self::RetryErrors { request, .. }
            | Self::Once { request, .. } => Some(*request),
            _ => None,
        }
    }
}
