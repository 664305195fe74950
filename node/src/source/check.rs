//! What `source check` asks of hosts.

use crate::rate::BudgetScope;

/// A question to a host: one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCheck {
    /// The host, for people.
    pub host: String,
    /// What is asked, opaque to all but the source.
    pub step: &'static str,
    /// The budget that the request counts against.
    pub scope: BudgetScope,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostReport {
    /// The host has what a crawl needs; perhaps with its software and version.
    Fine(Option<String>),
    /// What is wrong with it, and what to do.
    Wrong(String),
    /// Another question says more.
    Next(HostCheck),
}
