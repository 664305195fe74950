//! All addresses of a node, their clients and their budgets.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use storage::env::Clock;

use super::AddressError;
use crate::budget::{Acquired, BudgetSettings, BudgetStatus, Ledger, LedgerEnv, OpenReport, Ticket};
use crate::http_client::{ClientTls, HttpClient, HttpSettings};
use crate::rate::{BudgetScope, RateInfo};
use crate::source::Answer;

/// All addresses of a node: chooses one that may send a request now, and provides its client.
pub struct AddressPool {
    addresses: Vec<Address>,
    ledger: Ledger,
    http: HttpSettings,
    tls: ClientTls,
    clock: Arc<dyn Clock>,
}

/// The client is created on first use, because a node may have thousands of addresses.
struct Address {
    ip: Option<IpAddr>,
    client: OnceLock<Arc<HttpClient>>,
}

impl AddressPool {
    /// A pool of `addresses` (see [`super::AddressList::resolve`]) that stores budgets in the file `budgets`.
    pub fn open(
        addresses: Vec<Option<IpAddr>>,
        http: HttpSettings,
        budgets: &Path,
        settings: BudgetSettings,
        env: LedgerEnv,
    ) -> Result<(Self, OpenReport), AddressError> {
        let tls = ClientTls::new()?;
        let clock = Arc::clone(&env.clock);
        let (ledger, report) = Ledger::open(budgets, addresses.clone(), settings, env)?;
        let addresses = addresses.into_iter().map(|ip| Address { ip, client: OnceLock::new() }).collect();
        let pool = Self { addresses, ledger, http, tls, clock };
        // Settings that do not allow a client fail now, and not with the first job.
        pool.client(0)?;
        Ok((pool, report))
    }

    /// Permission to send one request, from the address with the fewest requests in flight among those with
    /// budget left.
    pub fn acquire(&self, scope: &BudgetScope) -> Result<Acquired<Permit>, AddressError> {
        self.permit(self.ledger.acquire(scope)?)
    }

    /// The same, waiting up to `max_wait` until an address has budget left.
    pub async fn acquire_within(
        &self,
        scope: &BudgetScope,
        max_wait: Duration,
    ) -> Result<Acquired<Permit>, AddressError> {
        self.permit(self.ledger.acquire_within(scope, max_wait).await?)
    }

    /// How many requests could be sent now.
    pub fn capacity(&self, scope: &BudgetScope) -> usize {
        self.ledger.capacity(scope)
    }

    /// All budgets that have been used.
    pub fn snapshot(&self) -> Vec<BudgetStatus> {
        self.ledger.snapshot()
    }

    /// The ledger of all budgets.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How many addresses there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there are no addresses, and thus nothing can be sent.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    fn permit(&self, acquired: Acquired<Ticket>) -> Result<Acquired<Permit>, AddressError> {
        Ok(match acquired {
            Acquired::Wait(wait) => Acquired::Wait(wait),
            Acquired::Ready(ticket) => match self.client(ticket.address()) {
                Ok(client) => Acquired::Ready(Permit { ticket, client }),
                Err(error) => {
                    ticket.settle(&RateInfo::not_sent());
                    return Err(error);
                }
            },
        })
    }

    fn client(&self, index: usize) -> Result<Arc<HttpClient>, AddressError> {
        let address = &self.addresses[index];
        if let Some(client) = address.client.get() {
            return Ok(Arc::clone(client));
        }
        let client = HttpClient::new(address.ip, &self.http, &self.tls, Arc::clone(&self.clock))?;
        // If two workers created one at the same time, both use the first.
        Ok(Arc::clone(address.client.get_or_init(|| Arc::new(client))))
    }
}

impl fmt::Debug for AddressPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressPool").field("addresses", &self.addresses.len()).finish_non_exhaustive()
    }
}

/// Permission to send one request, with the client for it. Dropped without [`settle`](Self::settle), its
/// request counts as sent.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts as a request that was sent"]
pub struct Permit {
    ticket: Ticket,
    client: Arc<HttpClient>,
}

impl Permit {
    /// The client for this one request.
    pub fn client(&self) -> &HttpClient {
        &self.client
    }

    /// Records the outcome of the request.
    pub fn settle(self, rate: &RateInfo) {
        self.ticket.settle(rate);
    }

    /// Settles with an answer, and returns the answer's outcome and cost.
    pub fn settle_with<T>(self, answer: Answer<T>) -> (Result<T, crate::source::SourceError>, u64) {
        self.settle(&answer.rate);
        (answer.outcome, answer.cost)
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
