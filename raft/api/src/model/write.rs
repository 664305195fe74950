//! What operators change.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_TARGETS, at_most};

use super::{CrawlId, CrawlSpec, NodeId, RequestId};

/// A change that an operator requests. Nodes turn it into a command of the log; clients cannot propose other
/// commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
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
        #[serde(deserialize_with = "at_most::<{ MAX_TARGETS }, _, _>")]
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
    /// Deletes a crawl that has ended and everything that belongs to it.
    DeleteCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
}

impl Write {
    /// Whether a late attempt, carried out after another one was answered, would undo what happened in between. Such
    /// a write needs a request id. The others have one already, or have a chunk number, or can take effect only once.
    pub fn needs_request_id(&self) -> bool {
        match self {
            Self::PauseCrawl { .. }
            | Self::ResumeCrawl { .. }
            | Self::CancelCrawl { .. }
            | Self::Drain { .. } => true,
            Self::CreateCrawl { .. }
            | Self::AddTargets { .. }
            | Self::SealCrawl { .. }
            | Self::RetryErrors { .. }
            | Self::DeleteCrawl { .. } => false,
        }
    }
}
