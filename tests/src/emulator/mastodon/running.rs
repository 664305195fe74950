//! A running double.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::api::Api;
use super::population::Population;
use super::{FediverseOptions, HostKind, Standing, server};
use crate::emulator::EmulatorError;

/// Counters since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Requests to hosts that are there.
    pub requests: u64,
    /// Requests beyond a rate limit.
    pub over: u64,
    /// Connections broken because the host is gone or unknown.
    pub broken: u64,
    /// Requests by host.
    pub hosts: BTreeMap<String, u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
}

/// Many running hosts; they stop when dropped.
pub struct Fediverse {
    address: SocketAddr,
    api: Arc<Api>,
    server: JoinHandle<()>,
}

impl Drop for Fediverse {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fediverse {
    /// Starts serving.
    ///
    /// # Errors
    /// The options are invalid, or the address cannot be listened on.
    pub async fn start(options: FediverseOptions) -> Result<Self, EmulatorError> {
        let listen = options.listen;
        let api = Arc::new(Api::new(Population::new(options)?));
        let failed = |source| EmulatorError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = tokio::spawn(server::serve(listener, Arc::clone(&api)));
        Ok(Self { address, api, server })
    }

    /// `http://ADDRESS`, where all hosts are; each is named in the `Host` header.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token that a host (from 1) accepts.
    pub fn token(host: u32) -> String {
        Api::token(host)
    }

    /// Host `number` (from 1) becomes another one.
    pub fn change(&self, number: u32, kind: HostKind) {
        self.api.population.set_kind(number, kind);
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.api.stats()
    }

    /// All accounts as `user@domain`.
    pub fn accounts(&self) -> Vec<String> {
        let population = &self.api.population;
        population.all().map(|number| population.acct(number)).collect()
    }

    /// What can be read of an account; `None` if it does not exist.
    pub fn standing(&self, acct: &str) -> Option<Standing> {
        let population = &self.api.population;
        population.find_acct(acct).map(|number| population.standing(number))
    }

    /// Ids of all posts as the home spells them, newest first.
    pub fn expected_timeline(&self, acct: &str) -> Vec<String> {
        let population = &self.api.population;
        population.find_acct(acct).map_or_else(Vec::new, |number| population.expected_posts(number))
    }

    /// All followers as `user@domain`, newest first.
    pub fn expected_followers(&self, acct: &str) -> Vec<String> {
        let population = &self.api.population;
        population.find_acct(acct).map_or_else(Vec::new, |number| population.expected_followers(number))
    }
}
