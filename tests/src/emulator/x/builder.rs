//! Settings of the double.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use storage::env::{Clock, SystemClock};
use tokio::net::TcpListener;

use super::api::{Api, XEndpoint};
use super::apps::Apps;
use super::bill::Billing;
use super::running::XEmulator;
use super::{Wording, server};
use crate::emulator::world::{Accounts, Gone, Synthetic};
use crate::emulator::{Budget, EmulatorError, SyntheticOptions};

/// Settings of a double. By default it listens on a free port of 127.0.0.1 and has no limits.
#[must_use]
pub struct XBuilder {
    options: SyntheticOptions,
    apps: Vec<(String, String)>,
    gone: Gone,
    limits: BTreeMap<XEndpoint, Budget>,
    billing: Billing,
    wording: Wording,
    host: &'static str,
    listen: SocketAddr,
    clock: Arc<dyn Clock>,
}

impl XBuilder {
    pub(super) fn new(options: SyntheticOptions) -> Self {
        Self {
            options,
            apps: Vec::new(),
            gone: Gone::default(),
            limits: BTreeMap::new(),
            billing: Billing::default(),
            wording: Wording::default(),
            host: "api.x.com",
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// An app and its bearer token.
    pub fn app(mut self, name: &str, token: &str) -> Self {
        self.apps.push((name.to_owned(), token.to_owned()));
        self
    }

    /// Accounts that only their followers can read.
    pub fn protected(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.gone.listed.extend(ids.into_iter().map(|id| (id, 401)));
        self
    }

    /// Accounts that are suspended.
    pub fn suspended(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.gone.listed.extend(ids.into_iter().map(|id| (id, 403)));
        self
    }

    /// Accounts that do not exist.
    pub fn missing(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.gone.listed.extend(ids.into_iter().map(|id| (id, 404)));
        self
    }

    /// Limits the requests of each app to an endpoint.
    pub fn limit(mut self, endpoint: XEndpoint, budget: Budget) -> Self {
        self.limits.insert(endpoint, budget);
        self
    }

    /// The account's terms.
    pub fn billing(mut self, billing: Billing) -> Self {
        self.billing = billing;
        self
    }

    /// How the API calls a post.
    pub fn wording(mut self, wording: Wording) -> Self {
        self.wording = wording;
        self
    }

    /// The host in the types of problems: `api.x.com` (the default) or `api.twitter.com`.
    pub fn problem_host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// The clock of windows, cycles and `Date` headers.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The address to listen on; port 0 picks a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Starts serving.
    ///
    /// # Errors
    /// The population is invalid, or the address cannot be listened on.
    pub async fn start(self) -> Result<XEmulator, EmulatorError> {
        let world = Box::new(Synthetic::new(self.options)?);
        let accounts = Arc::new(Accounts::new(world, self.gone));
        let apps = Apps::new(self.host, self.apps, self.limits, self.billing, self.clock);
        let api = Arc::new(Api { accounts, apps, wording: self.wording, host: self.host });
        let failed = |source| EmulatorError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = tokio::spawn(server::serve(listener, Arc::clone(&api)));
        Ok(XEmulator::new(address, api, server))
    }
}
