//! Budgets as operators see them.

use std::net::IpAddr;
use std::time::Duration;

/// A snapshot of one budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetStatus {
    /// Name of the budget: the endpoint.
    pub scope: String,
    /// The local address; `None` for a budget of all addresses, and for the one that the system chooses.
    pub address: Option<IpAddr>,
    /// Requests left in this window; `None` while that is not known.
    pub remaining: Option<u64>,
    /// Requests in a whole window, as last seen.
    pub limit: Option<u64>,
    /// Time to the next window.
    pub reset_in: Option<Duration>,
    /// Requests under way.
    pub in_flight: u32,
    /// For how long nothing may be sent, after a refusal or failed connections.
    pub blocked_for: Option<Duration>,
    /// The source was found to report no limits.
    pub unlimited: bool,
    /// This node's share, if the budget belongs to the cluster.
    pub share: Option<ShareStatus>,
}

/// A node's share of a budget of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareStatus {
    /// Requests that this node may send or has under way.
    pub held: u32,
    /// Requests of the window that no node holds, as far as this node knows.
    pub left: Option<u64>,
}
