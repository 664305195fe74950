//! Decides when a walk is saved, and whether a request is repeated.

use std::time::Duration;

use storage::env::{Clock, Entropy};

use super::job_error::JobError;
use crate::session::Backoff;

/// A walk is saved after this time, or this many pages.
const SAVE_EVERY: (Duration, u32) = (Duration::from_secs(5), 50);
/// Longest time that a worker itself waits for a temporary failure in a walk.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause before the one repetition.
const REPEAT: Duration = Duration::from_secs(1);

/// Counts a walk's pages.
pub(super) struct Saver {
    saved_at: Duration,
    unsaved: u32,
    repeats_left: u32,
}

impl Saver {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self { saved_at: clock.monotonic(), unsaved: 0, repeats_left: 0 }
    }

    pub(super) fn page_done(&mut self) {
        self.unsaved += 1;
        self.repeats_left = 1;
    }

    pub(super) fn is_due(&self, clock: &dyn Clock) -> bool {
        let waited = clock.monotonic().saturating_sub(self.saved_at);
        self.unsaved > 0 && (waited >= SAVE_EVERY.0 || self.unsaved >= SAVE_EVERY.1)
    }

    pub(super) fn has_unsaved(&self) -> bool {
        self.unsaved > 0
    }

    pub(super) fn saved(&mut self, clock: &dyn Clock) {
        self.saved_at = clock.monotonic();
        self.unsaved = 0;
    }

    /// Pause before the same page is requested once more; `None`: it is not.
    ///
    /// One repetition per successful page keeps temporary failures from using up the attempts of a long walk, and an
    /// account that always fails from blocking a worker.
    pub(super) fn repeat_after(&mut self, error: &JobError, entropy: &dyn Entropy) -> Option<Duration> {
        let JobError::Retryable { after, .. } = error else { return None };
        let wait = Backoff::new(REPEAT, REPEAT).next(entropy).max(after.unwrap_or_default());
        if self.repeats_left == 0 || wait > PATIENCE {
            return None;
        }
        self.repeats_left -= 1;
        Some(wait)
    }
}
