//! Safety margins of the ledger.

use std::time::Duration;

/// Safety margins of the ledger. The defaults fit all known networks.
#[derive(Debug, Clone)]
pub struct BudgetSettings {
    /// Added to every reset time, beyond the second that whole seconds may hide.
    pub margin: Duration,
    /// Length of a window if none was seen that is longer (15 minutes at Twitter).
    pub default_window: Duration,
    /// First and longest wait after a refusal without a stated duration; doubled from one to the next.
    pub backoff: (Duration, Duration),
    /// First and longest pause of an address without connections; doubled from one to the next.
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
