//! The data behind the pages of the HTTP port.

use api::model::{CrawlView, NodeStatus, SpendStatus};
use raft::state::{OutboxView, Sizes};

use crate::crawl::RequestCount;
use crate::mirror::MirrorView;
use crate::session::SessionView;

/// A snapshot of a node.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The cluster's name.
    pub cluster: String,
    /// Its status, as in `twm-ctl status`.
    pub node: NodeStatus,
    /// Why it is not ready; empty when it is.
    pub not_ready: Vec<String>,
    /// Seconds until its certificate expires, negative if it has; absent without TLS.
    pub certificate_ends_in: Option<i64>,
    /// Its session.
    pub session: SessionView,
    /// The crawls, as its replica knows them.
    pub crawls: Vec<CrawlView>,
    /// All money, as its replica knows it.
    pub money: SpendStatus,
    /// The size of its state.
    pub sizes: Sizes,
    /// Bytes of the Raft log on disk.
    pub log_bytes: u64,
    /// Events that wait for a mirror.
    pub outbox: OutboxView,
    /// The mirror, if there is one.
    pub mirror: Option<MirrorView>,
    /// Bytes of tweets and profiles that wait for Redis, and the number of dropped items; absent without a
    /// mirror.
    pub feed: Option<(u64, u64)>,
    /// Profiles looked up since the start.
    pub profiles: u64,
    /// Requests to the dataset's store since the start, by kind; empty for a dataset on files.
    pub dataset_requests: Vec<(&'static str, u64)>,
    /// Records of provenance on this node's disk that wait for the dataset.
    pub provenance_waiting: u64,
    /// Requests since the start.
    pub requests: Vec<RequestCount>,
}
