//! What one request brought.

use super::SourceError;
use crate::rate::RateInfo;

/// The outcome of one request, and what its answer said about the budget it counted against.
///
/// The two are apart because a refusal tells as much about the budget as a page does.
#[derive(Debug)]
#[must_use = "the budget has to learn of `rate`, whatever the outcome"]
pub struct Answer<T> {
    /// What was asked for, or why it did not come.
    pub outcome: Result<T, SourceError>,
    /// For [`crate::address::Permit::settle`].
    pub rate: RateInfo,
    /// Objects that the network charges for; 0 where it charges nothing.
    pub cost: u64,
}

impl<T> Answer<T> {
    /// An outcome that no request was needed for.
    pub fn unasked(outcome: Result<T, SourceError>) -> Self {
        Self { outcome, rate: RateInfo::not_sent(), cost: 0 }
    }

    /// The same answer with its outcome replaced by what `f` makes of it.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Result<U, SourceError>) -> Answer<U> {
        Answer { outcome: self.outcome.and_then(f), rate: self.rate, cost: self.cost }
    }
}
