//! How long a session's leases are certain to be valid.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::env::Clock;
use storage::planted::{Bug, planted};

/// Tells workers whether the leases of their session may have ended.
///
/// The leader ends a session that has been silent for its time to live, counted from when it last heard of it, which
/// was not before the answered call was sent. So no lease can have ended before `sent + ttl`, as long as both clocks
/// run equally fast; a tenth of the time to live is deducted for the case that they do not.
pub struct LeaseClock {
    clock: Arc<dyn Clock>,
    ttl: Duration,
    /// Monotonic microseconds; 0 once the session is over.
    valid_until: AtomicU64,
}

/// A tenth.
const MARGIN: u32 = 10;

impl LeaseClock {
    /// Not valid before the first [`acknowledged`](Self::acknowledged) call.
    pub(super) fn new(clock: Arc<dyn Clock>, ttl: Duration) -> Self {
        Self { clock, ttl, valid_until: AtomicU64::new(0) }
    }

    /// Whether the session's jobs may still be worked on. Cheap.
    pub fn is_valid(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// How long the leases remain valid if nothing more is heard of the leader.
    pub fn remaining(&self) -> Duration {
        let until = self.valid_until.load(Ordering::Acquire);
        if planted(Bug::LeaseForEver) {
            return self.ttl;
        }
        Duration::from_micros(until.saturating_sub(micros(self.clock.monotonic())))
    }

    /// A call sent at this monotonic time found the session alive.
    pub(super) fn acknowledged(&self, sent: Duration) {
        self.valid_until.fetch_max(micros(sent + self.ttl - self.ttl / MARGIN), Ordering::AcqRel);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use storage::env::ManualClock;

    use super::*;

    #[test]
    fn leases_last_from_the_sending_of_the_last_acknowledged_call_less_a_tenth() {
        let clock = Arc::new(ManualClock::default());
        let lease = LeaseClock::new(clock.clone(), Duration::from_secs(10));
        assert!(!lease.is_valid(), "nothing was acknowledged yet");
        clock.advance(Duration::from_secs(100));
        let sent = clock.monotonic();
        clock.advance(Duration::from_secs(5));
        lease.acknowledged(sent);
        assert_eq!(lease.remaining(), Duration::from_secs(4));
        lease.acknowledged(sent - Duration::from_secs(1));
        assert_eq!(lease.remaining(), Duration::from_secs(4), "an older answer takes nothing away");
        clock.advance(Duration::from_secs(4));
        assert!(!lease.is_valid());
        assert_eq!(lease.remaining(), Duration::ZERO);
    }
}
