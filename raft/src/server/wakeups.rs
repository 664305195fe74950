//! When a node looks for what it has to do.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::sleep;

use crate::consensus::ServerMetrics;

use super::tracker::Tracker;

/// How often a node looks that does not lead.
const FOLLOWER_INTERVAL: Duration = Duration::from_secs(1);

/// The looks of a task: at an interval while the node leads, rarely while it does not, and at once when the leader or
/// the members change.
pub(super) struct Wakeups {
    /// How long after the end of one look the next one comes, while the node leads.
    interval: Duration,
    changes: ServerMetrics,
}

impl Wakeups {
    pub(super) fn of(tracker: &Tracker, interval: Duration) -> Self {
        Self { interval, changes: tracker.inner.raft.server_metrics() }
    }

    /// WaitSummary for the next look; false when the tracker stops.
    pub(super) async fn next(&mut self, tracker: &Tracker) -> bool {
        let pause = if tracker.leads() { self.interval } else { FOLLOWER_INTERVAL };
        tokio::select! {
            biased;
            () = tracker.stopped() => false,
            changed = self.changes.changed() => match changed {
                Ok(()) => true,
                // Raft has ended, and the tracker is about to.
                Err(_) => {
                    tracker.stopped().await;
                    false
                }
            },
            () = sleep(pause) => true,
        }
    }
}
