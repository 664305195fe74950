//! Wakes a node's periodic tasks.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::sleep;

use crate::consensus::ServerMetrics;

use super::tracker::Tracker;

/// Interval while the node does not lead.
const FOLLOWER_INTERVAL: Duration = Duration::from_secs(1);

/// The wakeups of a task: periodic while the node leads, rare while it does not, and immediate when the leader or the
/// members change.
pub(super) struct Wakeups {
    /// Pause between the end of one turn and the next, while the node leads.
    interval: Duration,
    changes: ServerMetrics,
}

impl Wakeups {
    pub(super) fn of(tracker: &Tracker, interval: Duration) -> Self {
        Self { interval, changes: tracker.inner.raft.server_metrics() }
    }

    /// Waits for the next wakeup; false when the tracker stops.
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
