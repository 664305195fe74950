//! Waits that grow.

use std::time::Duration;

use super::Entropy;

/// Exponential backoff with jitter, so that many who failed together do not retry together.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// Waits from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, attempts: 0 }
    }

    /// The next wait: between half and all of the doubled value.
    pub fn next(&mut self, entropy: &dyn Entropy) -> Duration {
        self.attempts = self.attempts.saturating_add(1);
        self.after(self.attempts, entropy)
    }

    /// The wait after the `attempt`-th failure, from 1.
    pub fn after(&self, attempt: u32, entropy: &dyn Entropy) -> Duration {
        let doublings = attempt.saturating_sub(1).min(30);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full.mul_f64(0.5 + entropy.next_unit() / 2.0)
    }

    /// Starts from the first wait again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use crate::env::SeededEntropy;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_never_reach_zero() {
        let entropy = SeededEntropy::new(1);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
        for attempt in 0..100 {
            let full = Duration::from_secs(1 << attempt.min(6)).min(Duration::from_secs(60));
            let wait = backoff.next(&entropy);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(&entropy) <= Duration::from_secs(1));
    }
}
