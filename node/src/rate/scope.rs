//! Scopes of budgets.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// How a network divides a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Per {
    /// Each client address has a budget of its own (Twitter without a token).
    Address,
    /// Each IPv4 address has a budget of its own, and each IPv6 network of 64 bits (Mastodon without a token).
    Network,
    /// One budget for all: that of a token or a host.
    Source,
}

/// The name of a budget, and how it is divided. Two requests count against one budget if their scopes are equal and,
/// with [`Per::Address`], they come from one address, with [`Per::Network`], from one network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BudgetScope {
    name: Arc<str>,
    per: Per,
    within: Option<Arc<BudgetScope>>,
}

impl BudgetScope {
    /// A scope whose name is unique among all sources, such as the endpoint's URL. The name is written to
    /// disk and shown to operators: no secrets.
    pub fn new(name: &str, per: Per) -> Self {
        Self { name: name.into(), per, within: None }
    }

    /// The same scope, whose requests count against another budget as well, which is divided alike. An answer tells what
    /// is left of this one alone.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self { within: Some(Arc::new(Self { per: self.per, ..other })), ..self }
    }

    /// The budget that requests count against as well.
    pub fn other(&self) -> Option<&Self> {
        self.within.as_deref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the budget is divided.
    pub fn per(&self) -> Per {
        self.per
    }
}
