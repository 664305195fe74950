//! Budgets that this node shares with others; [`raft::state::shares`] explains how.

mod report;
mod scope;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::model::SessionId;
use api::wire::bounds::MAX_BUDGET_NAME;
use tokio::sync::Notify;

use crate::rate::{BudgetScope, Per};

pub(crate) use report::Pending;
pub(super) use scope::SharedScope;

/// Whenever their number is a multiple of this, idle budgets are looked for.
const SWEEP_EVERY: usize = 256;

/// A name that a report can carry. A longer one is told apart by its length and a checksum.
fn bounded(name: Box<str>) -> Box<str> {
    if name.len() <= MAX_BUDGET_NAME {
        return name;
    }
    let mark = format!("... {} {:08x}", name.len(), crc32fast::hash(name.as_bytes()));
    let mut kept = name.into_string();
    storage::text::truncate(&mut kept, MAX_BUDGET_NAME - mark.len());
    (kept + &mark).into()
}

/// Whether budgets are shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each node keeps its own: the cluster's version does not know better.
    Own,
    /// It is not known yet: budgets that would be shared wait.
    Undecided,
    Shared,
}

/// The budgets that this node shares with others.
pub(crate) struct SharedBudgets {
    mode: Mode,
    /// The outside address that this node's addresses share with those of other nodes.
    nat: Option<String>,
    scopes: BTreeMap<u64, SharedScope>,
    by_scope: HashMap<BudgetScope, u64>,
    by_name: HashMap<Box<str>, u64>,
    next: u64,
    /// The session whose shares these are.
    session: Option<SessionId>,
    /// Notified when something may have to be reported.
    pub(crate) wake: Arc<Notify>,
}

impl SharedBudgets {
    pub(super) fn none() -> Self {
        Self {
            mode: Mode::Own,
            nat: None,
            scopes: BTreeMap::new(),
            by_scope: HashMap::new(),
            by_name: HashMap::new(),
            next: 0,
            session: None,
            wake: Arc::default(),
        }
    }

    /// From now on it has to be decided whether budgets are shared.
    pub(crate) fn begin(&mut self, nat: Option<String>) {
        (self.mode, self.nat) = (Mode::Undecided, nat);
    }

    pub(crate) fn decide(&mut self, shared: bool) {
        let decided = match (self.mode, shared) {
            (Mode::Shared, _) | (Mode::Own, false) => return,
            (_, true) => Mode::Shared,
            (Mode::Undecided, false) => Mode::Own,
        };
        self.mode = decided;
        self.scopes.values().for_each(|scope| scope.changed.notify_waiters());
    }

    pub(super) fn is_decided(&self) -> bool {
        self.mode != Mode::Undecided
    }

    /// Whether this budget does not belong to this node alone.
    pub(super) fn covers(&self, scope: &BudgetScope) -> bool {
        self.mode != Mode::Own && (scope.per() == Per::Source || self.nat.is_some())
    }

    /// The id of a budget, which is added on first use.
    pub(super) fn id(&mut self, scope: &BudgetScope, now: Duration) -> u64 {
        if let Some(id) = self.by_scope.get(scope) {
            return *id;
        }
        let name: Box<str> = match (scope.per(), &self.nat) {
            (Per::Address | Per::Network, Some(nat)) => format!("nat {nat}: {}", scope.name()).into(),
            _ => Box::from(scope.name()),
        };
        let name = bounded(name);
        if self.scopes.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.scopes.retain(|_, scope| !scope.is_idle(now));
            self.by_scope.retain(|_, id| self.scopes.contains_key(id));
            self.by_name.retain(|_, id| self.scopes.contains_key(id));
        }
        let id = self.by_name.get(&name).copied().unwrap_or_else(|| {
            self.next += 1;
            self.scopes.insert(self.next, SharedScope::new(name.clone(), now));
            self.by_name.insert(name, self.next);
            self.next
        });
        self.by_scope.insert(scope.clone(), id);
        id
    }

    pub(super) fn get(&self, id: u64) -> Option<&SharedScope> {
        self.scopes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut SharedScope> {
        self.scopes.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SharedScope> {
        self.scopes.values()
    }

    /// Another worker waits for this budget, or no longer.
    pub(super) fn count_waiter(&mut self, id: u64, waits: bool) {
        if let Some(scope) = self.scopes.get_mut(&id) {
            scope.waiters = match waits {
                true => scope.waiters.saturating_add(1),
                false => scope.waiters.saturating_sub(1),
            };
        }
        if waits {
            self.wake.notify_one();
        }
    }
}
