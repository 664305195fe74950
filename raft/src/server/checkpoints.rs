//! Periodic checkpoints. openraft calls them snapshots and purges the log behind them.

use tokio::time::{MissedTickBehavior, interval};

use super::tracker::Tracker;

/// A learner takes checkpoints this many times less often. It restarts more slowly, which delays nobody.
const OF_LEARNER: u32 = 5;

/// Requests a checkpoint whenever entries were applied since the last one.
pub(super) async fn run(tracker: Tracker) {
    let mut due = interval(tracker.inner.options.checkpoint_interval);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut passed = 0;
    loop {
        tokio::select! {
            biased;
            _ = due.tick() => {}
            () = tracker.stopped() => return,
        }
        passed += 1;
        if passed < OF_LEARNER && tracker.learns() {
            continue;
        }
        passed = 0;
        let replica = &tracker.inner.replica;
        if replica.applied_index() > replica.checkpoint_index() {
            if let Err(error) = tracker.inner.raft.trigger().snapshot().await {
                tracing::error!(%error, "no checkpoint can be taken");
                return;
            }
        }
    }
}
