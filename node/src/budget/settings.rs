//! How careful the ledger is.

use std::time::Duration;

/// How careful the ledger is. The defaults fit every network known.
#[derive(Debug, Clone)]
pub struct BudgetSettings {
    /// Added to every reset time, beyond the second that whole seconds may hide.
    pub margin: Duration,
    /// Length of a window where no longer one was seen (15 minutes at Twitter).
    pub default_window: Duration,
    /// First and longest wait after a refusal that does not say how long; doubled from one to the next.
    pub backoff: (Duration, Duration),
    /// First and longest rest of an address that gets no connection; doubled from one to the next.
    pub rest: (Duration, Duration),
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            margin: Duration::from_millis(500),
            default_window: Duration::from_secs(15 * 60),
            backoff: (Duration::from_secs(60), Duration::from_secs(15 * 60)),
            rest: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}
