//! Counts requests and keeps the rate limit windows.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use storage::env::Clock;

use super::limits::{Allowance, Window};
use super::{Endpoint, RateLimits, Stats};

/// The counters and windows of one emulator.
pub(super) struct Ledger {
    limits: RateLimits,
    count_users: bool,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
    in_flight: AtomicU64,
    max_concurrent: AtomicU64,
}

#[derive(Default)]
struct Books {
    addresses: HashMap<IpAddr, [Account; Endpoint::ALL.len()]>,
    statuses: BTreeMap<u16, u64>,
    faults: BTreeMap<&'static str, u64>,
    users: HashMap<(Endpoint, u64), u64>,
    unserved: u64,
}

/// The requests of one address to one endpoint.
#[derive(Default)]
struct Account {
    requests: u64,
    violations: u64,
    window: Option<Window>,
    /// Requests within the budget in each of the first windows.
    windows: Vec<u64>,
}

/// Of so many windows the requests are kept.
const MOST_WINDOWS: usize = 1000;

/// Keeps a request counted as in flight until dropped.
pub(super) struct InFlight(Arc<Ledger>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Ledger {
    pub fn new(limits: RateLimits, count_users: bool, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            count_users,
            clock,
            books: Mutex::default(),
            in_flight: AtomicU64::new(0),
            max_concurrent: AtomicU64::new(0),
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts a request as in flight.
    pub fn enter(self: &Arc<Self>) -> InFlight {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.max_concurrent.fetch_max(now, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Counts a request and charges its window. Returns `None` if the endpoint has no limit.
    pub fn charge(&self, address: IpAddr, endpoint: Endpoint, users: &[u64]) -> Option<Allowance> {
        let mut books = self.books();
        if self.count_users {
            for &user in users {
                *books.users.entry((endpoint, user)).or_default() += 1;
            }
        }
        let account = &mut books.addresses.entry(address).or_default()[endpoint.index()];
        account.requests += 1;
        let budget = self.limits.of(endpoint)?;
        let before = account.window.map(Window::opened);
        let allowance = Window::charge(&mut account.window, budget, &*self.clock);
        if account.window.map(Window::opened) != before && account.windows.len() < MOST_WINDOWS {
            account.windows.push(0);
        }
        if let Some(window) = account.windows.last_mut() {
            *window += u64::from(!allowance.exhausted);
        }
        account.violations += u64::from(allowance.exhausted);
        Some(allowance)
    }

    /// The remaining budget of `address` at each limited endpoint.
    pub fn allowances(&self, address: IpAddr) -> Vec<(Endpoint, Allowance)> {
        let books = self.books();
        let accounts = books.addresses.get(&address);
        let look = |endpoint: Endpoint| {
            let budget = self.limits.of(endpoint)?;
            let window = accounts.and_then(|a| a[endpoint.index()].window.as_ref());
            Some((endpoint, Window::look(window, budget, &*self.clock)))
        };
        Endpoint::ALL.into_iter().filter_map(look).collect()
    }

    pub fn count_status(&self, status: u16) {
        *self.books().statuses.entry(status).or_default() += 1;
    }

    pub fn count_fault(&self, name: &'static str) {
        *self.books().faults.entry(name).or_default() += 1;
    }

    pub fn count_unserved(&self) {
        self.books().unserved += 1;
    }

    /// Resets counters and windows.
    pub fn reset(&self) {
        *self.books() = Books::default();
        self.max_concurrent.store(self.in_flight.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub fn stats(&self) -> Stats {
        let books = self.books();
        let mut stats = Stats {
            statuses: books.statuses.clone(),
            faults: books.faults.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect(),
            unserved: books.unserved,
            in_flight: self.in_flight.load(Ordering::Relaxed),
            max_concurrent: self.max_concurrent.load(Ordering::Relaxed),
            ..Stats::default()
        };
        for (address, accounts) in &books.addresses {
            for endpoint in Endpoint::ALL {
                let account = &accounts[endpoint.index()];
                if account.requests > 0 {
                    stats.requests.entry(*address).or_default().insert(endpoint, account.requests);
                }
                if !account.windows.is_empty() {
                    let windows = account.windows.clone();
                    stats.windows.entry(*address).or_default().insert(endpoint, windows);
                }
                if account.violations > 0 {
                    stats.violations.entry(*address).or_default().insert(endpoint, account.violations);
                }
            }
        }
        for ((endpoint, user), n) in &books.users {
            stats.users.entry(*endpoint).or_default().insert(*user, *n);
        }
        stats
    }
}
