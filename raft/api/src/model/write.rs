//! What operators change.

use serde::{Deserialize, Serialize};
use storage::ids::UserId;

use crate::wire::bounds::{MAX_TARGETS, at_most};

use super::{CrawlId, CrawlSpec, NodeId, RequestId};

/// A change that an operator asks for. Nodes make commands of the log from it; what the log carries beyond that is not
/// to be asked for by anybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Write {
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
        #[serde(deserialize_with = "at_most::<{ MAX_TARGETS }, _, _>")]
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
    /// Forgets a crawl that has ended, with all that belongs to it.
    DeleteCrawl {
        /// The crawl.
        crawl: CrawlId,
    },
}

impl Write {
    /// Whether an attempt that is carried out late, after one that was answered, would undo what came in between. Such a
    /// write is named by a request id. The others have one, or a chunk's number, or can be done once only.
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
