//! Trouble that all jobs of the node share: it is waited out, and no job is to blame for it.
//!
//! A full disk or a folder that is gone fails every job that writes, and an API that cannot be reached fails every job.
//! Counted as failed attempts, an hour of either would put a whole crawl on the error list. Such jobs go back to the queue
//! as they were. Addresses without a connection rest by themselves (see [`crate::budget`]); the dataset's place rests
//! here: meanwhile no jobs are taken that write, and then one at a time until one has written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::env::{Clock, Entropy};

use crate::session::Backoff;

/// First and longest rest of the dataset's place.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// Trouble that no job has met for so long is over.
const LATELY: Duration = Duration::from_secs(10);
/// Trouble that every job meets is told so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Whether the dataset's place can be written to, as far as the jobs have noticed.
#[derive(Default)]
pub(super) struct PlaceHealth {
    /// Absent while it is well.
    trouble: Mutex<Option<Rest>>,
}

struct Rest {
    what: String,
    until: Duration,
    backoff: Backoff,
}

impl PlaceHealth {
    fn lock(&self) -> MutexGuard<'_, Option<Rest>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job could not write. Gives the time until the next one may try.
    pub(super) fn failed(&self, what: &str, clock: &dyn Clock, entropy: &dyn Entropy) -> Duration {
        let now = clock.monotonic();
        let mut trouble = self.lock();
        let new =
            || Rest { what: String::new(), until: Duration::ZERO, backoff: Backoff::new(REST.0, REST.1) };
        let rest = trouble.get_or_insert_with(new);
        // Those that were under way fail together: the first of them has said it.
        if now >= rest.until {
            let wait = rest.backoff.next(entropy);
            rest.until = now + wait;
            what.clone_into(&mut rest.what);
            tracing::error!(retry_in = ?wait, "the dataset cannot be written, jobs wait: {what}");
        }
        rest.until.saturating_sub(now)
    }

    /// A job has made something durable.
    pub(super) fn written(&self) {
        if self.lock().take().is_some() {
            tracing::info!("the dataset can be written again");
        }
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self) -> Option<String> {
        self.lock().as_ref().map(|rest| rest.what.clone())
    }

    /// How many jobs that write may begin now, of `usual`.
    pub(super) fn room(&self, usual: usize, clock: &dyn Clock) -> usize {
        match &*self.lock() {
            None => usual,
            Some(rest) if clock.monotonic() < rest.until => 0,
            Some(_) => usual.min(1),
        }
    }
}

/// What was so just now.
#[derive(Default)]
pub(super) struct Lately {
    last: Mutex<Option<(Duration, String)>>,
}

impl Lately {
    /// It is so.
    pub(super) fn note(&self, what: &str, clock: &dyn Clock) {
        let now = clock.monotonic();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, what.to_owned()));
    }

    /// What was noted in the last [`LATELY`].
    pub(super) fn noted(&self, clock: &dyn Clock) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (clock.monotonic().saturating_sub(last.0) < LATELY).then_some(last.1)
    }
}

/// Says now and then what would be said all the time.
#[derive(Default)]
pub(super) struct Seldom {
    last: Mutex<Option<Duration>>,
}

impl Seldom {
    /// Whether it is time to say it again.
    pub(super) fn is_due(&self, clock: &dyn Clock) -> bool {
        let now = clock.monotonic();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_sub(last) >= TELL_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use storage::env::{ManualClock, SeededEntropy};

    use super::*;

    #[test]
    fn a_place_in_trouble_gets_one_job_at_a_time_after_ever_longer_rests() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let place = PlaceHealth::default();
        assert_eq!(place.room(32, &clock), 32);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let wait = place.failed("no space", &clock, &entropy);
            assert_eq!(
                place.failed("no space", &clock, &entropy),
                wait,
                "jobs that fail together count once"
            );
            assert_eq!(place.room(32, &clock), 0);
            assert_eq!(place.trouble().as_deref(), Some("no space"));
            clock.advance(wait);
            assert_eq!((place.room(32, &clock), place.room(0, &clock)), (1, 0));
            waits.push(wait);
        }
        assert!(waits[0] <= REST.0 && waits[19] >= REST.1 / 2 && waits[19] <= REST.1, "{waits:?}");
        place.written();
        assert_eq!((place.room(32, &clock), place.trouble()), (32, None));
        assert!(place.failed("no space", &clock, &entropy) <= REST.0);
    }

    #[test]
    fn what_nobody_has_met_for_a_while_is_over() {
        let (clock, lately) = (ManualClock::default(), Lately::default());
        assert_eq!(lately.noted(&clock), None);
        lately.note("no route", &clock);
        assert_eq!(lately.noted(&clock).as_deref(), Some("no route"));
        clock.advance(LATELY);
        assert_eq!(lately.noted(&clock), None);
    }

    #[test]
    fn what_is_said_seldom_is_said_at_once_and_then_now_and_then() {
        let (clock, seldom) = (ManualClock::default(), Seldom::default());
        assert!(seldom.is_due(&clock) && !seldom.is_due(&clock));
        clock.advance(TELL_EVERY);
        assert!(seldom.is_due(&clock) && !seldom.is_due(&clock));
    }
}
