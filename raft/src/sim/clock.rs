//! Time of a simulated process.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use storage::env::Clock;
use tokio::time::Instant;

/// Seconds since 1970 when a simulated world begins.
const BEGINNING: i64 = 1_700_000_000;

/// The clocks of one process: a monotonic one, which follows its runtime, and a wall clock that may jump.
pub(super) struct SimClock {
    origin: Instant,
    wall_offset_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// The clocks of a process that starts now, in the context of its runtime.
    pub(super) fn new(wall_offset_ms: Arc<AtomicI64>) -> Arc<Self> {
        Arc::new(Self { origin: Instant::now(), wall_offset_ms })
    }
}

impl Clock for SimClock {
    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wall(&self) -> Duration {
        let passed = i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX);
        let offset = self.wall_offset_ms.load(Ordering::Relaxed);
        let now = (BEGINNING * 1_000).saturating_add(passed).saturating_add(offset);
        Duration::from_millis(now.max(0) as u64)
    }
}
