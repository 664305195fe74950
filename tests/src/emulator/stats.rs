//! Counters of the emulator.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Endpoint;

/// Counters since the start or the last reset. Also the JSON of `GET /_emulator/stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests by client address and endpoint, including refused ones.
    pub requests: BTreeMap<IpAddr, BTreeMap<Endpoint, u64>>,
    /// Of these, requests while the budget of the address for the endpoint was exhausted.
    pub violations: BTreeMap<IpAddr, BTreeMap<Endpoint, u64>>,
    /// Requests within the budget in each window that had a request, oldest first, by client address and endpoint.
    #[serde(default)]
    pub windows: BTreeMap<IpAddr, BTreeMap<Endpoint, Vec<u64>>>,
    /// Responses by HTTP status. A request whose connection was reset has no response.
    pub statuses: BTreeMap<u16, u64>,
    /// Injected faults by name.
    pub faults: BTreeMap<String, u64>,
    /// Requests by endpoint and user, if enabled (a lookup counts for each of its users).
    pub users: BTreeMap<Endpoint, BTreeMap<u64, u64>>,
    /// Requests for unknown paths.
    pub unserved: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Maximum number of requests in flight.
    pub max_concurrent: u64,
}

impl Stats {
    /// Requests of all addresses to all endpoints.
    pub fn total_requests(&self) -> u64 {
        self.requests.values().flat_map(BTreeMap::values).sum()
    }

    /// Requests of all addresses to `endpoint`.
    pub fn requests_to(&self, endpoint: Endpoint) -> u64 {
        self.requests.values().filter_map(|by_endpoint| by_endpoint.get(&endpoint)).sum()
    }

    /// Requests of `address` to `endpoint`.
    pub fn requests_from(&self, address: IpAddr, endpoint: Endpoint) -> u64 {
        self.requests.get(&address).and_then(|by_endpoint| by_endpoint.get(&endpoint)).copied().unwrap_or(0)
    }

    /// Requests within the budget in each window of `endpoint`, of the one address that has any.
    pub fn windows_of(&self, endpoint: Endpoint) -> Vec<u64> {
        let mut windows = self.windows.values().filter_map(|by_endpoint| by_endpoint.get(&endpoint));
        windows.next().cloned().unwrap_or_default()
    }

    /// Requests of all addresses beyond their budgets.
    pub fn total_violations(&self) -> u64 {
        self.violations.values().flat_map(BTreeMap::values).sum()
    }
}
