//! What a session needs of the replicated tracker.

use api::TrackerApi;
use api::model::{CrawlId, CrawlSpec};
use raft::server::Tracker;
use storage::ids::UserId;

/// The job tracker as sessions and workers use it: its calls, and what this node's replica knows. In a node it is
/// [`raft::server::Tracker`]; a test can put a state machine alone behind it.
pub trait JobTracker: TrackerApi {
    /// What a crawl asks for, as this replica knows it. No network, no waiting.
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec>;

    /// How far this replica has applied the log. No network, no waiting.
    fn applied_index(&self) -> u64;

    /// Which of these accounts a crawl does not know yet, as far as this replica knows. No network, no waiting.
    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId>;
}

impl JobTracker for Tracker {
    fn crawl_spec(&self, crawl: CrawlId) -> Option<CrawlSpec> {
        Tracker::crawl_spec(self, crawl)
    }

    fn applied_index(&self) -> u64 {
        Tracker::applied_index(self)
    }

    fn unseen(&self, crawl: CrawlId, users: Vec<UserId>) -> Vec<UserId> {
        Tracker::unseen(self, crawl, users)
    }
}
