//! When this node last heard from Raft on the other members.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Times of the last messages, by this node's monotonic clock; zero before the first.
#[derive(Default)]
pub(super) struct RaftContact {
    /// Of any message, ms.
    any: AtomicU64,
    /// Of a message that only a leader sends, ms.
    of_leader: AtomicU64,
}

impl RaftContact {
    /// Records a message that has arrived.
    pub(super) fn note(&self, is_of_leader: bool, now: Duration) {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.any.store(now, Ordering::Relaxed);
        if is_of_leader {
            self.of_leader.store(now, Ordering::Relaxed);
        }
    }

    /// When the last message arrived.
    pub(super) fn last(&self) -> Duration {
        Duration::from_millis(self.any.load(Ordering::Relaxed))
    }

    /// When the last message that only a leader sends arrived.
    pub(super) fn last_of_leader(&self) -> Duration {
        Duration::from_millis(self.of_leader.load(Ordering::Relaxed))
    }
}
