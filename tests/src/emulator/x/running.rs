//! A running double.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::api::{Api, XEndpoint};
use super::{Bill, Billing, XBuilder, XFault};
use crate::emulator::SyntheticOptions;

/// A running double of the X API; it stops when dropped.
pub struct XEmulator {
    address: SocketAddr,
    api: Arc<Api>,
    server: JoinHandle<()>,
}

impl Drop for XEmulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl XEmulator {
    /// Settings of a double that serves this population.
    pub fn builder(options: SyntheticOptions) -> XBuilder {
        XBuilder::new(options)
    }

    pub(super) fn new(address: SocketAddr, api: Arc<Api>, server: JoinHandle<()>) -> Self {
        Self { address, api, server }
    }

    /// `http://ADDRESS`, without a trailing slash; the API is below `/2/`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an app was charged in a cycle, or in all of them.
    pub fn bill(&self, app: &str, cycle: Option<u64>) -> Bill {
        self.api.apps.bill(app, cycle)
    }

    /// The number of the current cycle.
    pub fn cycle(&self) -> u64 {
        self.billing().cycle_at(self.api.apps.now())
    }

    /// The account's terms.
    pub fn billing(&self) -> Billing {
        self.api.apps.billing()
    }

    /// Changes the account's terms.
    pub fn change_billing(&self, change: impl FnOnce(&mut Billing)) {
        self.api.apps.change_billing(change);
    }

    /// Requests of an app to an endpoint with a valid token, refused ones included.
    pub fn requests(&self, app: &str, endpoint: XEndpoint) -> u64 {
        self.api.apps.requests(app, endpoint)
    }

    /// Requests of an app beyond its windows.
    pub fn violations(&self, app: &str) -> u64 {
        self.api.apps.violations(app)
    }

    /// Revokes the token of an app: 401 from now on. `false` if there is no such app.
    pub fn revoke(&self, app: &str) -> bool {
        self.api.apps.revoke(app)
    }

    /// Takes the access of an app away: 403 from now on. `false` if there is no such app.
    pub fn strike_off(&self, app: &str) -> bool {
        self.api.apps.strike_off(app)
    }

    /// The faults of the requests to come, in their order; `None` is a good answer.
    pub fn plan_faults(&self, faults: impl IntoIterator<Item = Option<XFault>>) {
        self.api.apps.plan(faults);
    }

    /// The accounts from position `offset` on, at most `limit`.
    pub fn users(&self, offset: u64, limit: u64) -> Vec<u64> {
        let end = offset.saturating_add(limit).min(self.api.accounts.count());
        (offset..end).filter_map(|position| self.api.accounts.at(position)).collect()
    }

    /// Ids of the posts that a full crawl of an account finds, newest first.
    pub fn expected_posts(&self, id: u64) -> Vec<u64> {
        self.api.accounts.timeline_ids(id)
    }

    /// Ids of the followers that a full crawl of an account finds, in the API's order; those that are gone are missing.
    pub fn expected_followers(&self, id: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        self.api.accounts.followers(id, 0, usize::MAX, &mut ids);
        ids.retain(|id| self.api.accounts.profile(*id).is_some());
        ids
    }
}
