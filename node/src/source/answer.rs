//! The result of one request.

use super::SourceError;
use crate::rate::RateInfo;

/// The outcome of one request, and what its answer reported about the budget that it counted against.
///
/// The two are separate because a refusal says as much about the budget as a page does.
#[derive(Debug)]
#[must_use = "the budget has to learn of `rate`, whatever the outcome"]
pub struct Answer<T> {
    /// The result, or why there is none.
    pub outcome: Result<T, SourceError>,
    /// For [`crate::address::Permit::settle`].
    pub rate: RateInfo,
    /// What the request is to be counted with, in millionths of the currency that the network bills in; 0 if it
    /// charges nothing. If the answer is not known, it is the most that it can have cost.
    pub cost: u64,
}

impl<T> Answer<T> {
    /// An outcome for which no request was needed.
    pub fn unasked(outcome: Result<T, SourceError>) -> Self {
        Self { outcome, rate: RateInfo::not_sent(), cost: 0 }
    }

    /// The same answer with its outcome mapped by `f`.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Result<U, SourceError>) -> Answer<U> {
        Answer { outcome: self.outcome.and_then(f), rate: self.rate, cost: self.cost }
    }
}
