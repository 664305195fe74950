//! Outages that affect all jobs of the node: they are waited out, and count against no job.
//!
//! A full disk or a missing folder fails every job that writes, and an unreachable API fails every job. Counted as
//! failed attempts, an hour of either would put a whole crawl on the error list. Such jobs go back to the queue
//! unchanged. Addresses without a connection pause by themselves (see [`crate::budget`]); the dataset pauses here:
//! meanwhile no jobs are taken that write, and then one at a time until one has written.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::env::{Clock, Entropy};

use crate::session::Backoff;

/// First and longest pause of the dataset.
const RETRY_BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How often an outage is logged that every job notices.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// An outage that no job has noticed for this long is no longer shown: without jobs nobody would notice its end. Jobs
/// that wait retry far sooner.
const SHOWN_FOR: Duration = Duration::from_secs(120);

/// Whether the dataset can be written, as far as the jobs have noticed.
#[derive(Default)]
pub(super) struct DatasetHealth {
    /// Absent while it can be.
    outage: Mutex<Option<Outage>>,
}

struct Outage {
    what: String,
    until: Duration,
    backoff: Backoff,
}

impl DatasetHealth {
    fn lock(&self) -> MutexGuard<'_, Option<Outage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job could not write. Returns the time until the next one may try.
    pub(super) fn failed(&self, what: &str, clock: &dyn Clock, entropy: &dyn Entropy) -> Duration {
        let now = clock.monotonic();
        let mut current = self.lock();
        let new = || Outage {
            what: String::new(),
            until: Duration::ZERO,
            backoff: Backoff::new(RETRY_BACKOFF.0, RETRY_BACKOFF.1),
        };
        let outage = current.get_or_insert_with(new);
        // Jobs in flight fail together: the first one has reported it.
        if now >= outage.until {
            let wait = outage.backoff.next(entropy);
            outage.until = now + wait;
            outage.what = format!("the dataset cannot be written: {what}");
            tracing::error!(retry_in = ?wait, "the dataset cannot be written, jobs wait: {what}");
        }
        outage.until.saturating_sub(now)
    }

    /// A job has made something durable. During a pause that proves nothing: no job starts then, so this one started
    /// before the failure, and a disk that is nearly full takes one file and refuses the next.
    pub(super) fn written(&self, clock: &dyn Clock) {
        let now = clock.monotonic();
        if self.lock().take_if(|outage| now >= outage.until).is_some() {
            tracing::info!("the dataset can be written again");
        }
    }

    /// Why nothing can be written, if a job has tried recently.
    pub(super) fn outage(&self, clock: &dyn Clock) -> Option<String> {
        let is_recent = |outage: &&Outage| clock.monotonic() < outage.until + SHOWN_FOR;
        self.lock().as_ref().filter(is_recent).map(|outage| outage.what.clone())
    }

    /// How many jobs that write may start now, of `usual`.
    pub(super) fn room(&self, usual: usize, clock: &dyn Clock) -> usize {
        match &*self.lock() {
            None => usual,
            Some(outage) if clock.monotonic() < outage.until => 0,
            Some(_) => usual.min(1),
        }
    }
}

/// Whether the network can be reached, as far as the jobs have noticed.
#[derive(Default)]
pub(super) struct SourceHealth {
    /// Absent while it can be.
    outage: Mutex<Option<SourceOutage>>,
}

struct SourceOutage {
    what: String,
    /// When the last request failed.
    last: Duration,
    told: Duration,
}

impl SourceHealth {
    fn lock(&self) -> MutexGuard<'_, Option<SourceOutage>> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request could not be sent; `setting` says where. Logged now and then, since every job reports it.
    pub(super) fn failed(&self, what: &str, setting: &str, clock: &dyn Clock) {
        let now = clock.monotonic();
        let mut outage = self.lock();
        let told = outage.as_ref().map(|outage| outage.told);
        let due = told.is_none_or(|told| now.saturating_sub(told) >= TELL_EVERY);
        let what = format!("{what}; check {setting} and the network");
        if due {
            tracing::warn!("{what}");
        }
        *outage = Some(SourceOutage { what, last: now, told: if due { now } else { told.unwrap_or(now) } });
    }

    /// An answer arrived, whatever it said.
    pub(super) fn answered(&self) {
        self.lock().take();
    }

    /// Why the network cannot be reached, if a job has tried recently.
    pub(super) fn outage(&self, clock: &dyn Clock) -> Option<String> {
        let is_recent = |outage: &&SourceOutage| clock.monotonic() < outage.last + SHOWN_FOR;
        self.lock().as_ref().filter(is_recent).map(|outage| outage.what.clone())
    }
}

#[cfg(test)]
mod tests {
    use storage::env::{ManualClock, SeededEntropy};

    use super::*;

    #[test]
    fn a_place_in_trouble_gets_one_job_at_a_time_after_ever_longer_rests() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let place = DatasetHealth::default();
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
            clock.advance(wait);
            assert_eq!((place.room(32, &clock), place.room(0, &clock)), (1, 0));
            waits.push(wait);
        }
        assert!(
            waits[0] <= RETRY_BACKOFF.0 && waits[19] >= RETRY_BACKOFF.1 / 2 && waits[19] <= RETRY_BACKOFF.1,
            "{waits:?}"
        );
        place.written(&clock);
        assert_eq!((place.room(32, &clock), place.outage(&clock)), (32, None));
        assert!(place.failed("no space", &clock, &entropy) <= RETRY_BACKOFF.0);
    }

    #[test]
    fn what_jobs_write_that_began_before_the_failure_does_not_end_the_rest() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let place = DatasetHealth::default();
        let wait = place.failed("no space", &clock, &entropy);
        place.written(&clock);
        assert!(place.outage(&clock).is_some());
        assert_eq!(place.room(32, &clock), 0);
        clock.advance(wait);
        place.written(&clock);
        assert_eq!((place.room(32, &clock), place.outage(&clock)), (32, None));
    }

    #[test]
    fn trouble_is_shown_until_it_ends_or_nobody_meets_it_any_more() {
        let (clock, entropy) = (ManualClock::default(), SeededEntropy::new(1));
        let (place, reach) = (DatasetHealth::default(), SourceHealth::default());
        assert_eq!((place.outage(&clock), reach.outage(&clock)), (None, None));
        let fail = || {
            place.failed("no space", &clock, &entropy);
            reach.failed("no route", "--api-url", &clock);
        };
        fail();
        assert_eq!(place.outage(&clock).unwrap(), "the dataset cannot be written: no space");
        assert_eq!(reach.outage(&clock).unwrap(), "no route; check --api-url and the network");
        clock.advance(RETRY_BACKOFF.0);
        place.written(&clock);
        reach.answered();
        assert_eq!((place.outage(&clock), reach.outage(&clock)), (None, None));
        fail();
        clock.advance(SHOWN_FOR + RETRY_BACKOFF.1);
        assert_eq!((place.outage(&clock), reach.outage(&clock)), (None, None));
        fail();
        assert!(place.outage(&clock).is_some() && reach.outage(&clock).is_some());
    }
}
