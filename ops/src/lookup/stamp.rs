//! Which of two profiles is newer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use storage::env::{Clock, SystemClock};

/// When a profile came: for one of the stream its entry's id, for one that was added the time at Redis when it came.
/// The larger is newer; of two equal ones the later to come counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    /// Unix time, in milliseconds.
    pub(super) millis: u64,
    /// Tells entries of the same millisecond apart.
    pub(super) sequence: u64,
}

/// Bytes of a stored stamp.
pub(super) const STAMP_BYTES: usize = 16;

impl Stamp {
    /// Before every entry of a stream.
    pub(super) const ZERO: Self = Self { millis: 0, sequence: 0 };

    /// Reads the id of a stream's entry, `MILLIS-SEQUENCE`.
    pub(super) fn of_entry(id: &str) -> Option<Self> {
        let (millis, sequence) = id.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    pub(super) fn to_bytes(self) -> [u8; STAMP_BYTES] {
        (u128::from(self.millis) << 64 | u128::from(self.sequence)).to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; STAMP_BYTES]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { millis: (both >> 64) as u64, sequence: both as u64 }
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

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
    fn stamps_are_ordered_by_time_then_sequence_and_survive_storage() {
        let stamp = Stamp::of_entry("1700000000000-7").unwrap();
        assert_eq!(Stamp::from_bytes(stamp.to_bytes()), stamp);
        assert_eq!(stamp.to_string(), "1700000000000-7");
        assert!(Stamp::of_entry("1700000000000-8").unwrap() > stamp);
        assert!(Stamp::of_entry("1700000000001-0").unwrap() > stamp);
        for bad in ["", "1", "1-", "a-1", "1-2-3"] {
            assert_eq!(Stamp::of_entry(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_time_is_that_of_redis() {
        let time = RedisTime::new();
        time.correct(Duration::from_secs(5_000_000_000));
        let now = time.now().millis;
        assert!((5_000_000_000_000..5_000_000_060_000).contains(&now), "{now}");
    }
}
