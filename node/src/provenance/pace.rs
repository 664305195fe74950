//! When records are appended to the dataset: each batch is a file there, and in a bucket a request.

use std::time::Duration;

use storage::env::{Backoff, Entropy};

/// A record waits no longer than this.
const LONGEST: Duration = Duration::from_secs(300);
/// A node without work appends after this time, but not more often than the second one: on a trickle of jobs, each would have a
/// batch of its own.
const IDLE: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// First and longest pause after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Decides when to append. Times are monotonic.
#[derive(Default)]
pub(super) struct Pace {
    /// When the oldest waiting record was added.
    oldest: Option<Duration>,
    idle_since: Option<Duration>,
    appended: Option<Duration>,
    not_before: Option<Duration>,
    backoff: Option<Backoff>,
}

impl Pace {
    /// A record was added.
    pub(super) fn added(&mut self, now: Duration) {
        self.oldest.get_or_insert(now);
    }

    /// Nothing waits any more.
    pub(super) fn appended(&mut self, now: Duration) {
        *self = Self { appended: Some(now), idle_since: self.idle_since, ..Self::default() };
    }

    /// The dataset took nothing; returns the pause.
    pub(super) fn failed(&mut self, now: Duration, entropy: &dyn Entropy) -> Duration {
        let wait = self.backoff.get_or_insert_with(|| Backoff::new(RETRY.0, RETRY.1)).next(entropy);
        self.not_before = Some(now + wait);
        wait
    }

    /// Whether to append now. `waits`: there are records; `full`: there is a batch to which no more are added.
    pub(super) fn is_due(&mut self, now: Duration, idle: bool, waits: bool, full: bool) -> bool {
        self.idle_since = if idle { self.idle_since.or(Some(now)) } else { None };
        if self.not_before.is_some_and(|at| now < at) {
            return false;
        }
        let since = |at: Option<Duration>, time: Duration| at.is_some_and(|at| now >= at + time);
        let rested = self.appended.is_none() || since(self.appended, IDLE.1);
        full || waits && (since(self.oldest, LONGEST) || rested && since(self.idle_since, IDLE.0))
    }
}

#[cfg(test)]
mod tests {
    use storage::env::SeededEntropy;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn records_wait_for_many_or_for_a_pause_and_not_for_ever() {
        let mut pace = Pace::default();
        assert!(!pace.is_due(at(9), true, false, false), "nothing waits");
        pace.added(at(10));
        assert!(!pace.is_due(at(10), false, true, false));
        assert!(pace.is_due(at(10), false, true, true), "a batch is full");
        assert!(!pace.is_due(at(309), false, true, false));
        assert!(pace.is_due(at(310), false, true, false), "the oldest one has waited");
        pace.appended(at(311));
        assert!(!pace.is_due(at(900), false, true, false));
    }

    #[test]
    fn a_trickle_of_jobs_does_not_give_each_of_them_a_batch() {
        let mut pace = Pace::default();
        let mut appended = 0;
        for second in 0..600 {
            // One job in ten seconds.
            if second % 10 == 0 {
                pace.added(at(second));
            }
            if pace.is_due(at(second), second % 10 != 0, true, false) {
                pace.appended(at(second));
                appended += 1;
            }
        }
        assert!((9..=11).contains(&appended), "{appended}");
    }

    #[test]
    fn a_dataset_that_takes_nothing_is_asked_less_and_less() {
        let (mut pace, entropy) = (Pace::default(), SeededEntropy::new(1));
        let waits: Vec<Duration> = (0..20).map(|_| pace.failed(at(5), &entropy)).collect();
        assert!(waits[0] <= RETRY.0 && waits[19] > RETRY.1 / 4 && waits[19] <= RETRY.1, "{waits:?}");
        assert!(!pace.is_due(at(5), true, true, true));
        assert!(pace.is_due(at(5) + RETRY.1, true, true, true));
        pace.appended(at(80));
        assert!(pace.failed(at(80), &entropy) <= RETRY.0);
    }
}
