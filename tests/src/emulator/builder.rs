//! Settings of an emulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use hyper::StatusCode;
use storage::env::{Clock, SystemClock};
use tokio::net::TcpListener;

use super::api::Api;
use super::faults::Injector;
use super::ledger::Ledger;
use super::world::{Accounts, Fixture, Gone, Synthetic, World};
use super::{Emulator, EmulatorError, FaultRule, RateLimits, SyntheticOptions, export, server};

/// Maximum followers on a page of the real API.
const FOLLOWERS_PAGE: usize = 5000;

/// Spelling of the limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaderSpelling {
    /// According to the version in the request's path.
    #[default]
    ByPath,
    /// `x-ratelimit-*` everywhere.
    V1,
    /// `x-rate-limit-*` everywhere.
    V1_1,
}

impl FromStr for HeaderSpelling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "path" => Ok(Self::ByPath),
            "v1" => Ok(Self::V1),
            "v1.1" => Ok(Self::V1_1),
            _ => Err(format!("{text:?} is no spelling of headers; use path, v1 or v1.1")),
        }
    }
}

/// Settings of an emulator. By default it listens on a free port of 127.0.0.1 and has no limits.
#[must_use]
pub struct Builder {
    source: Option<Source>,
    gone: Gone,
    listen: SocketAddr,
    limits: RateLimits,
    headers: HeaderSpelling,
    limited_status: StatusCode,
    retry_after: bool,
    page_size: usize,
    count_users: bool,
    faults: Vec<FaultRule>,
    fault_seed: u64,
    clock: Arc<dyn Clock>,
}

enum Source {
    Dataset(PathBuf),
    Synthetic(SyntheticOptions),
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            source: None,
            gone: Gone::default(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            limits: RateLimits::default(),
            headers: HeaderSpelling::default(),
            limited_status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: false,
            page_size: FOLLOWERS_PAGE,
            count_users: false,
            faults: Vec::new(),
            fault_seed: 1,
            clock: Arc::new(SystemClock::new()),
        }
    }
}

impl Builder {
    /// Serves the dataset in this folder.
    pub fn dataset(mut self, folder: impl Into<PathBuf>) -> Self {
        self.source = Some(Source::Dataset(folder.into()));
        self
    }

    /// Serves a synthetic population.
    pub fn synthetic(mut self, options: SyntheticOptions) -> Self {
        self.source = Some(Source::Synthetic(options));
        self
    }

    /// Seed of the random faults and of the percentages of accounts that are gone.
    pub fn seed(mut self, seed: u64) -> Self {
        self.fault_seed = seed;
        self.gone.seed = seed;
        self
    }

    /// Accounts that answer 401.
    pub fn protected(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.gone.listed.extend(ids.into_iter().map(|id| (id, 401)));
        self
    }

    /// Accounts that answer 404.
    pub fn missing(mut self, ids: impl IntoIterator<Item = u64>) -> Self {
        self.gone.listed.extend(ids.into_iter().map(|id| (id, 404)));
        self
    }

    /// Percentages of all other accounts that answer 401 and 404.
    pub fn gone_percent(mut self, protected: f64, missing: f64) -> Self {
        (self.gone.protected_percent, self.gone.missing_percent) = (protected, missing);
        self
    }

    /// Listens on this address; port 0 picks a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Limits requests.
    pub fn rate_limits(mut self, limits: RateLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Spelling of the limit headers.
    pub fn headers(mut self, spelling: HeaderSpelling) -> Self {
        self.headers = spelling;
        self
    }

    /// Status of responses beyond the budget: 429 (the default) or 420, as in API v1.
    pub fn limited_status(mut self, status: StatusCode) -> Self {
        self.limited_status = status;
        self
    }

    /// Whether responses beyond the budget have `Retry-After`.
    pub fn retry_after(mut self, yes: bool) -> Self {
        self.retry_after = yes;
        self
    }

    /// Maximum followers on a page, 5,000 by default.
    pub fn page_size(mut self, size: usize) -> Self {
        self.page_size = size.max(1);
        self
    }

    /// Whether requests are also counted by account.
    pub fn count_users(mut self, yes: bool) -> Self {
        self.count_users = yes;
        self
    }

    /// Fault rules at the start.
    pub fn faults(mut self, rules: Vec<FaultRule>) -> Self {
        self.faults = rules;
        self
    }

    /// Clock for rate limits.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn accounts(source: Option<Source>, mut gone: Gone) -> Result<Accounts, EmulatorError> {
        let world: Box<dyn World> = match source {
            None => return Err(EmulatorError::NoWorld),
            Some(Source::Synthetic(options)) => Box::new(Synthetic::new(options)?),
            Some(Source::Dataset(folder)) => {
                let mut fixture = Fixture::load(&folder)?;
                let mut listed = std::mem::take(&mut fixture.gone);
                listed.append(&mut gone.listed);
                gone.listed = listed;
                Box::new(fixture)
            }
        };
        Ok(Accounts::new(world, gone))
    }

    /// Writes all accounts as a dataset in our layout, instead of serving them.
    pub fn export(self, folder: &Path) -> Result<(), EmulatorError> {
        export::export(&Self::accounts(self.source, self.gone)?, folder)
    }

    /// Loads the accounts and starts serving.
    pub async fn start(self) -> Result<Emulator, EmulatorError> {
        let injector = Injector::new(self.fault_seed);
        injector.set(self.faults).map_err(EmulatorError::Setting)?;
        let api = Arc::new(Api {
            accounts: Arc::new(Self::accounts(self.source, self.gone)?),
            ledger: Arc::new(Ledger::new(self.limits, self.count_users, self.clock)),
            injector,
            page_size: self.page_size,
            headers: self.headers,
            limited_status: self.limited_status,
            retry_after: self.retry_after,
        });
        let failed = |source| EmulatorError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let server = tokio::spawn(server::serve(listener, Arc::clone(&api)));
        Ok(Emulator::new(address, api, server))
    }
}
