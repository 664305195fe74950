//! Searches for the account of a name, a request at a time.

use super::Profile;
use crate::rate::BudgetScope;

/// The next step of a search: one request, with a permit of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// The name, without `@`.
    pub name: String,
    /// What is asked, opaque to all but the source.
    pub step: Box<str>,
    /// The budget that the request counts against.
    pub scope: BudgetScope,
}

/// What came of a step.
#[derive(Debug)]
pub enum Trail {
    /// The account.
    Found(Profile),
    /// Nobody has the name.
    Nobody,
    /// The search goes on.
    Next(Lead),
}
