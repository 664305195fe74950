//! The monitor's interface to its node.

use std::sync::Arc;

use api::model::{CrawlId, CrawlView, Event, NodeStatus, RequestId, SpendStatus};
use api::wire::{ApiReply, ApiRequest};
use api::{Called, TrackerApi};
use raft::server::Tracker;
use raft::state::WaitSummary;
use storage::env::Clock;

use crate::crawl::Crawler;
use crate::logs::{LogLine, LogRing};
use crate::session::{JobBoard, ShownJob};

/// A node and its cluster, as the monitor sees them: [`WatchedNode`] in a node, a fake in tests.
pub trait Watched: TrackerApi {
    /// The status of this node. Local and immediate.
    fn own(&self) -> NodeStatus;

    /// The crawls, as this replica knows them. Local and immediate.
    fn crawls(&self) -> Vec<CrawlView>;

    /// What a crawl's jobs wait for, as this replica knows it. Local and immediate.
    fn waits(&self, crawl: CrawlId) -> WaitSummary;

    /// All money, as this replica knows it. Local and immediate.
    fn money(&self) -> SpendStatus;

    /// Problems that affect all jobs of this node.
    fn troubles(&self) -> Vec<String>;

    /// The longest-running jobs of this node, and the number of all.
    fn jobs(&self, most: usize) -> (Vec<ShownJob>, usize);

    /// Starts or stops the recording of [`Self::events`].
    fn look_at_events(&self, looked_at: bool);

    /// Events of the cluster as this replica applies them, recorded while there are observers: the newest events
    /// after the given local number, oldest first, each with its local number; and the cluster time that they cover,
    /// ms.
    fn events(&self, after: u64, most: usize) -> (Vec<(u64, Event)>, u64);

    /// Log lines of this node after the given one, the newest `most`.
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

    fn money(&self) -> SpendStatus {
        self.tracker.money()
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
