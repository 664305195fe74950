//! What the monitor looks at.

use std::sync::Arc;

use api::model::{CrawlId, CrawlView, Event, NodeStatus, RequestId};
use api::wire::{ApiReply, ApiRequest};
use api::{Called, TrackerApi};
use raft::server::Tracker;
use raft::state::WaitSummary;
use storage::env::Clock;

use crate::crawl::Crawler;
use crate::logs::{LogLine, LogRing};
use crate::session::{JobBoard, ShownJob};

/// A node and its cluster, as the monitor sees them. In a node it is [`WatchedNode`]; a test can put anything behind it.
pub trait Watched: TrackerApi {
    /// What this node says of itself. No network, no waiting.
    fn own(&self) -> NodeStatus;

    /// The crawls, as this replica knows them. No network, no waiting.
    fn crawls(&self) -> Vec<CrawlView>;

    /// What a crawl's jobs wait for, as this replica knows it. No network, no waiting.
    fn waits(&self, crawl: CrawlId) -> WaitSummary;

    /// What all jobs of this node suffer from.
    fn troubles(&self) -> Vec<String>;

    /// The jobs of this node that have run longest, and how many run.
    fn jobs(&self, most: usize) -> (Vec<ShownJob>, usize);

    /// Somebody looks at [`Self::events`] from now on, or nobody does.
    fn look_at_events(&self, looked_at: bool);

    /// What happens in the cluster, as this replica applies it, while somebody looks: the newest events after the one
    /// with this number, oldest first, each with its number here; and the cluster time up to which it is told, ms.
    fn events(&self, after: u64, most: usize) -> (Vec<(u64, Event)>, u64);

    /// Log lines of this node after this one, the newest `most`.
    fn log(&self, after: u64, most: usize) -> Vec<LogLine>;
}

/// A running node.
pub struct WatchedNode {
    /// Its replica.
    pub tracker: Tracker,
    /// Its workers.
    pub crawler: Arc<Crawler>,
    /// Its running jobs.
    pub board: Arc<JobBoard>,
    /// Its log.
    pub log: LogRing,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl TrackerApi for WatchedNode {
    fn request_id(&self) -> RequestId {
        self.tracker.request_id()
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        self.tracker.call(request)
    }
}

impl Watched for WatchedNode {
    fn own(&self) -> NodeStatus {
        self.tracker.status()
    }

    fn crawls(&self) -> Vec<CrawlView> {
        self.tracker.crawls()
    }

    fn waits(&self, crawl: CrawlId) -> WaitSummary {
        self.tracker.waits(crawl)
    }

    fn troubles(&self) -> Vec<String> {
        self.crawler.troubles()
    }

    fn jobs(&self, most: usize) -> (Vec<ShownJob>, usize) {
        self.board.show(self.clock.monotonic(), most)
    }

    fn look_at_events(&self, looked_at: bool) {
        self.tracker.live_events().0.look(looked_at);
    }

    fn events(&self, after: u64, most: usize) -> (Vec<(u64, Event)>, u64) {
        let (live, clock) = self.tracker.live_events();
        (live.after(after, most), clock)
    }

    fn log(&self, after: u64, most: usize) -> Vec<LogLine> {
        self.log.after(after, most)
    }
}
