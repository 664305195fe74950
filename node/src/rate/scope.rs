//! What a request counts against.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a network keeps one budget for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Per {
    /// Each client address has a budget of its own (Twitter without a token).
    Address,
    /// One budget for all: a token's, or a host's.
    Source,
}

/// The name of a budget, and whom it belongs to. Two requests count against one budget if their scopes are equal
/// and, with [`Per::Address`], they come from one address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetScope {
    name: Arc<str>,
    per: Per,
}

impl BudgetScope {
    /// A scope with a name that is unique among all sources, such as the endpoint's URL. The name is written to
    /// disk and shown to operators: no secrets.
    pub fn new(name: &str, per: Per) -> Self {
        Self { name: name.into(), per }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whom the budget belongs to.
    pub fn per(&self) -> Per {
        self.per
    }
}
