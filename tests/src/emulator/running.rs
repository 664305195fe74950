//! A running emulator.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::api::Api;
use super::{Builder, FaultRule, Stats, server};

/// A running emulator; it stops when dropped.
pub struct Emulator {
    address: SocketAddr,
    api: Arc<Api>,
    server: JoinHandle<()>,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Emulator {
    /// Settings of an emulator to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(address: SocketAddr, api: Arc<Api>, server: JoinHandle<()>) -> Self {
        Self { address, api, server }
    }

    /// Stops listening and breaks all connections, as in a crash; counters are kept.
    pub fn stop(&self) {
        self.server.abort();
    }

    /// Listens again after [`stop`](Self::stop).
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn start_again(&mut self) -> std::io::Result<()> {
        self.server.abort();
        // The listener is closed once the task has ended. The error only says that the task was aborted.
        let _ended = (&mut self.server).await;
        let listener = TcpListener::bind(self.address).await?;
        self.server = tokio::spawn(server::serve(listener, Arc::clone(&self.api)));
        Ok(())
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a trailing slash; API v1 is below `/1/`, v1.1 below `/1.1/`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counters since the start or the last reset.
    pub fn stats(&self) -> Stats {
        self.api.ledger.stats()
    }

    /// Resets counters and rate limit windows; faults stay.
    pub fn reset(&self) {
        self.api.ledger.reset();
    }

    /// Replaces all fault rules. If one is invalid, it fails and changes nothing.
    pub fn set_faults(&self, rules: Vec<FaultRule>) -> Result<(), String> {
        self.api.injector.set(rules)
    }

    /// The accounts from position `offset` on, at most `limit`.
    pub fn users(&self, offset: u64, limit: u64) -> Vec<u64> {
        let end = offset.saturating_add(limit).min(self.api.accounts.count());
        (offset..end).filter_map(|position| self.api.accounts.at(position)).collect()
    }

    /// Whether the account can be read: it exists and is neither protected nor suspended.
    pub fn is_open(&self, id: u64) -> bool {
        self.api.accounts.is_open(id)
    }

    /// Ids that a full crawl of the account's timeline holds, newest first.
    pub fn expected_timeline(&self, id: u64) -> Vec<u64> {
        self.api.accounts.timeline_ids(id)
    }

    /// Ids that a full crawl of the account's followers holds, in the API's order.
    pub fn expected_followers(&self, id: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        self.api.accounts.followers(id, 0, usize::MAX, &mut ids);
        ids
    }

    /// The account's profile as the API's JSON.
    pub fn profile(&self, id: u64) -> Option<String> {
        self.api.accounts.profile(id).map(|profile| String::from_utf8_lossy(&profile).into_owned())
    }
}
