//! Cluster time (TWM-T1).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Cluster time in ms, advanced only by the leader's monotonic clock. A new leader continues from the latest
/// time that it has applied, so that neither wall clocks nor other machines' clocks matter.
#[derive(Debug, Default)]
pub(super) struct ClusterClock {
    /// Added to the monotonic time, ms. It never decreases.
    offset: AtomicU64,
}

impl ClusterClock {
    /// Cluster time for the next command, given this machine's monotonic time and the state's clock.
    pub(super) fn now(&self, monotonic: Duration, applied: u64) -> u64 {
        let monotonic = monotonic.as_millis() as u64;
        let behind = applied.saturating_sub(monotonic);
        let offset = self.offset.fetch_max(behind, Ordering::Relaxed).max(behind);
        monotonic + offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twm_t1_cluster_time_goes_on_from_what_was_applied_and_never_back() {
        let clock = ClusterClock::default();
        let at = Duration::from_millis;
        assert_eq!(clock.now(at(10), 0), 10);
        // Another leader was 5 s ahead; this machine's clock has just started.
        assert_eq!(clock.now(at(20), 5_000), 5_000);
        assert_eq!(clock.now(at(50), 5_000), 5_030);
        assert_eq!(clock.now(at(60), 0), 5_040);
    }
}
