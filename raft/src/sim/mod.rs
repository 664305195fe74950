//! Whole clusters in one thread on simulated time: what happens follows from a seed alone.
//!
//! Trackers get their network, their disks, their time, their randomness and their blocking work by trait. Here messages
//! take some milliseconds and can be cut off, a sync takes its time and what was not synced is lost with the process, and
//! time moves on when everything waits.

mod disks;
mod net;
mod trackers;

use std::sync::Arc;
use std::time::Duration;

use storage::env::Clock;
use tokio::time::Instant;

/// Simulated time.
struct SimClock {
    origin: Instant,
}

impl SimClock {
    fn new() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now() })
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        Duration::from_secs(1_700_000_000) + self.origin.elapsed()
    }
}
