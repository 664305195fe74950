//! The counters that the mirror keeps, by the names that the original's consumers know.

/// What only grows.
pub const GROWING: [&str; 11] = [
    "timeline.total_included",
    "timeline.total_fetched",
    "follower.total_fetched",
    "analyzer.total_included",
    "analyzer.total_fetched",
    "update.total_included",
    "update.total_fetched",
    "stats.worker.completed.timeline",
    "stats.worker.completed.follower",
    "stats.worker.completed.analyzer",
    "stats.worker.completed.update",
];

/// The counters that are gauges: jobs that are running.
pub const ONGOING: [&str; 4] = [
    "stats.worker.ongoing.timeline",
    "stats.worker.ongoing.follower",
    "stats.worker.ongoing.analyzer",
    "stats.worker.ongoing.update",
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static str> {
    GROWING.into_iter().chain(ONGOING)
}
