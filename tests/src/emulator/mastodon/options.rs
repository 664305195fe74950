//! Settings of the double.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use storage::env::{Clock, SystemClock};

use super::{HostKind, Limits};

/// Settings of a double of many hosts.
#[derive(Clone)]
pub struct FediverseOptions {
    /// Number of hosts, `h1.test` and on.
    pub hosts: u32,
    /// Accounts that have their home on each host.
    pub accounts: u64,
    /// Determines everything that the other settings leave open.
    pub seed: u64,
    /// Mean number of posts of an account, at most 3,200 each.
    pub posts_mean: f64,
    /// Mean number of followers of an account.
    pub followers_mean: f64,
    /// Followers of the first account.
    pub celebrity: Option<u64>,
    /// Kinds of hosts by number, from 1; all others are [`HostKind::Open`].
    pub kinds: BTreeMap<u32, HostKind>,
    /// Accounts that are suspended, in percent.
    pub suspended_percent: f64,
    /// Accounts that hide their follower list, in percent.
    pub hidden_percent: f64,
    /// Rate limits; `None`: none, and no headers about them.
    pub limits: Option<Limits>,
    /// Address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Clock of the rate limits.
    pub clock: Arc<dyn Clock>,
}

impl FediverseOptions {
    /// Open hosts without limits, with 60 posts and 40 followers on average.
    pub fn new(hosts: u32, accounts: u64, seed: u64) -> Self {
        Self {
            hosts,
            accounts,
            seed,
            posts_mean: 60.0,
            followers_mean: 40.0,
            celebrity: None,
            kinds: BTreeMap::new(),
            suspended_percent: 0.0,
            hidden_percent: 0.0,
            limits: None,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// The same with a host of another kind.
    #[must_use]
    pub fn with(mut self, host: u32, kind: HostKind) -> Self {
        self.kinds.insert(host, kind);
        self
    }

    /// Reads `3=token,5=hang`.
    ///
    /// # Errors
    /// Which part is no host and kind.
    pub fn parse_kinds(text: &str) -> Result<BTreeMap<u32, HostKind>, String> {
        let part = |part: &str| {
            let wrong = || format!("{part:?} is no host and kind; write NUMBER=KIND, as 3=token");
            let (host, kind) = part.split_once('=').ok_or_else(wrong)?;
            Ok((host.parse().map_err(|_| wrong())?, kind.parse()?))
        };
        text.split(',').filter(|part| !part.is_empty()).map(part).collect()
    }
}
