//! The ledger of all budgets of a node.

mod core;
#[cfg(test)]
mod tests;
mod ticket;
mod wait;
mod write;

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use storage::env::{Clock, Entropy, Work};

pub use ticket::Ticket;

use self::core::{Attempt, Core};
use super::BudgetError;
use super::boot::{BootTime, Timekeeper};
use super::journal::{Journal, OpenReport};
use super::networks::Networks;
use super::settings::BudgetSettings;
use super::shared::{SharedBudgets, SharedScope};
use super::status::{BudgetStatus, ShareStatus};
use crate::rate::{BudgetScope, Per, RateInfo};

/// Suggested wait when the exact time is unknown: a write to disk or a probe takes about this long.
const SOON: Duration = Duration::from_millis(5);

/// All budgets of a node. Cheap to clone; all clones are one ledger.
///
/// Call its methods within a tokio runtime, whose blocking threads write to disk.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    core: Mutex<Core>,
    journal: Mutex<Journal>,
    time: Timekeeper,
    entropy: Arc<dyn Entropy>,
    work: Work,
    settings: BudgetSettings,
    addresses: Vec<Option<IpAddr>>,
    networks: Networks,
}

/// The result of asking for a ticket.
#[derive(Debug)]
#[must_use]
pub enum Acquired<T> {
    /// A request may be sent.
    Ready(T),
    /// Approximate time until one may be sent.
    Wait(Duration),
}

impl<T> Acquired<T> {
    /// Maps the ticket.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Acquired<U> {
        match self {
            Self::Ready(ready) => Acquired::Ready(f(ready)),
            Self::Wait(wait) => Acquired::Wait(wait),
        }
    }
}

/// The environment of a ledger.
pub struct LedgerEnv {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// For jitter.
    pub entropy: Arc<dyn Entropy>,
    /// Runs the journal's writes.
    pub work: Work,
    /// The machine's uptime at this moment.
    pub boot: Option<BootTime>,
}

impl Ledger {
    /// Opens the ledger in the file `path`, for requests from `addresses` (`None`: the one that the system chooses).
    ///
    /// A damaged file is kept aside and reported, and nothing is sent for the longest window that it is known to
    /// contain, and at least for `default_window`: whatever it contained has expired by then.
    pub fn open(
        path: &Path,
        addresses: Vec<Option<IpAddr>>,
        settings: BudgetSettings,
        env: LedgerEnv,
    ) -> Result<(Self, OpenReport), BudgetError> {
        let time = Timekeeper::new(env.clock, env.boot);
        let (journal, remembered, report) = Journal::open(path, &time, settings.default_window)?;
        let hold_until = time.now() + report.hold;
        let core = Mutex::new(Core::new(remembered, hold_until));
        let journal = Mutex::new(journal);
        let networks = Networks::of(&addresses);
        let (entropy, work) = (env.entropy, env.work);
        let shared = Shared { core, journal, time, entropy, work, settings, addresses, networks };
        Ok((Self { shared: Arc::new(shared) }, report))
    }

    /// A ticket for one request, if one may be sent now.
    pub fn acquire(&self, scope: &BudgetScope) -> Result<Acquired<Ticket>, BudgetError> {
        Ok(match self.attempt(scope)? {
            Attempt::Taken(ticket) => Acquired::Ready(ticket),
            Attempt::Wait(until) => Acquired::Wait(self.wait_hint(until)),
        })
    }

    /// How many requests could be sent now; a session requests no more jobs than that.
    pub fn capacity(&self, scope: &BudgetScope) -> usize {
        let now = self.shared.time.now();
        let mut core = self.shared.lock();
        if core.is_held(now) {
            return 0;
        }
        if core.shared.covers(scope) {
            if !core.shared.is_decided() {
                return 0;
            }
            let id = core.shared.id(scope, now);
            return core.shared.get_mut(id).map_or(0, |budget| budget.capacity(now));
        }
        let index = core.index(scope, &self.shared, now);
        core.scopes[index].capacity(now)
    }

    /// All known budgets of the scopes used since the start, for the status.
    pub fn snapshot(&self) -> Vec<BudgetStatus> {
        let now = self.shared.time.now();
        let core = self.shared.lock();
        let mut rows: Vec<BudgetStatus> =
            core.shared.iter().filter_map(|scope| shared_row(scope, now)).collect();
        for scope in &core.scopes {
            for (index, gauge) in scope.gauges.iter().enumerate() {
                let remaining = gauge.remaining(now);
                let row = BudgetStatus {
                    scope: scope.scope.name().to_owned(),
                    address: self.shared.owner(&scope.scope, index),
                    remaining: remaining.map(|(left, _)| left),
                    limit: gauge.limit(),
                    reset_in: remaining.map(|(_, reset_in)| reset_in),
                    in_flight: gauge.in_flight(),
                    blocked_for: gauge.blocked_for(now),
                    unlimited: gauge.is_unlimited(),
                    share: None,
                };
                let used =
                    row.limit.is_some() || row.in_flight > 0 || row.blocked_for.is_some() || row.unlimited;
                rows.extend(used.then_some(row));
            }
        }
        rows
    }

    /// Works with the budgets that this node shares.
    pub(crate) fn shared<T>(&self, work: impl FnOnce(&mut SharedBudgets) -> T) -> T {
        work(&mut self.shared.lock().shared)
    }

    fn attempt(&self, scope: &BudgetScope) -> Result<Attempt, BudgetError> {
        let now = self.shared.time.now();
        let mut core = self.shared.lock();
        let attempt = core.take(scope, self, now)?;
        let write = core.begin_writing();
        drop(core);
        if write {
            self.spawn_writer();
        }
        Ok(attempt)
    }

    /// Settles a request: called by its ticket, once.
    fn settle(&self, ticket: &Ticket, rate: &RateInfo) {
        let now = self.shared.time.now();
        let jitter = self.shared.entropy.next_unit();
        let mut core = self.shared.lock();
        core.settle(ticket, rate, &self.shared, now, jitter);
        let write = core.begin_writing();
        drop(core);
        if write {
            self.spawn_writer();
        }
    }

    fn wait_hint(&self, until: Option<Duration>) -> Duration {
        until.map_or(SOON, |until| until.saturating_sub(self.shared.time.now()).max(Duration::from_millis(1)))
    }
}

/// A shared budget as operators see it.
fn shared_row(scope: &SharedScope, now: Duration) -> Option<BudgetStatus> {
    let share = &scope.share;
    let (held, left) = (share.held(), scope.left());
    let ends = share.window().map(|(_, ends)| Duration::from_millis(ends).saturating_sub(now));
    let row = BudgetStatus {
        scope: scope.name.to_string(),
        address: None,
        remaining: left.map(|left| left.saturating_add(u64::from(share.free()))),
        limit: share.limit(),
        reset_in: ends,
        in_flight: share.in_flight(),
        blocked_for: Some(scope.rests_until().saturating_sub(now)).filter(|wait| !wait.is_zero()),
        unlimited: share.is_unlimited(),
        share: Some(ShareStatus { held, left }),
    };
    let used = row.limit.is_some() || row.in_flight > 0 || row.blocked_for.is_some() || row.unlimited;
    used.then_some(row)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses or networks that have a gauge each.
    fn owners(&self, scope: &BudgetScope) -> &[Option<IpAddr>] {
        match scope.per() {
            Per::Address => &self.addresses,
            Per::Network => self.networks.owners(),
            Per::Source => &[None],
        }
    }

    /// The address or network that the gauge with this index belongs to.
    fn owner(&self, scope: &BudgetScope, gauge: usize) -> Option<IpAddr> {
        self.owners(scope).get(gauge).copied().flatten()
    }
}
