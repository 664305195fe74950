//! When a profile came, by Redis' clock: for one of the stream its entry's id says it, for one that was added the time at
//! Redis when it came. The larger stamp is newer; of two equal ones the later to come counts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use storage::env::{Clock, SystemClock};

use crate::stream::Stamp;

/// This machine's clock, corrected by what Redis said the time was: entries of the stream carry Redis' time, and a clock
/// that is wrong here must not make an added profile newer than all that follow.
#[derive(Debug)]
pub(super) struct RedisTime {
    clock: SystemClock,
    /// Milliseconds that Redis is ahead.
    ahead: AtomicI64,
}

impl RedisTime {
    /// Not corrected yet.
    pub(super) fn new() -> Self {
        Self { clock: SystemClock::new(), ahead: AtomicI64::new(0) }
    }

    /// Redis has just said that it is this late.
    pub(super) fn correct(&self, redis: Duration) {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.ahead.store(millis(redis) - millis(self.clock.wall()), Ordering::Relaxed);
    }

    /// The stamp of a profile that comes now.
    pub(super) fn now(&self) -> Stamp {
        let here = u64::try_from(self.clock.wall().as_millis()).unwrap_or(u64::MAX);
        let millis = here.saturating_add_signed(self.ahead.load(Ordering::Relaxed));
        Stamp { millis, sequence: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_redis() {
        let time = RedisTime::new();
        time.correct(Duration::from_secs(5_000_000_000));
        let now = time.now().millis;
        assert!((5_000_000_000_000..5_000_000_060_000).contains(&now), "{now}");
    }
}
