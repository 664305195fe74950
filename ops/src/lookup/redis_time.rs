//! The time of a profile by Redis' clock: the id of its entry in the stream, or the time at Redis when it was added
//! through the API. The larger stamp is newer; of two equal ones, the later to arrive counts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use storage::env::{Clock, SystemClock};

use crate::stream::Stamp;

/// This machine's clock, corrected by Redis' time: entries of the stream carry that, and a wrong clock here must not
/// make an added profile newer than all that follow.
#[derive(Debug)]
pub(super) struct RedisTime {
    clock: SystemClock,
    /// How far Redis' clock is ahead, ms.
    ahead: AtomicI64,
}

impl RedisTime {
    /// Not corrected yet.
    pub(super) fn new() -> Self {
        Self { clock: SystemClock::new(), ahead: AtomicI64::new(0) }
    }

    /// Redis has just reported this time.
    pub(super) fn correct(&self, redis: Duration) {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.ahead.store(millis(redis) - millis(self.clock.wall()), Ordering::Relaxed);
    }

    /// The stamp of a profile that arrives now.
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
