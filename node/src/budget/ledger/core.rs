//! The data behind the ledger's lock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::ticket::Place;
use super::{Ledger, Shared, Ticket};
use crate::budget::BudgetError;
use crate::budget::gauge::Ready;
use crate::budget::journal::Remembered;
use crate::budget::record::{Kept, Key};
use crate::budget::scope_gauges::{Pick, ScopeGauges};
use crate::budget::shared::SharedBudgets;
use crate::rate::{BudgetScope, Delivery, Per, RateInfo};

/// How long a request waits for another budget that becomes free at an unknown time.
const OTHER_BUSY: Duration = Duration::from_millis(50);

/// Whenever the number of scopes is a multiple of this, idle ones are looked for.
const SWEEP_EVERY: usize = 256;

/// The result of trying to take a request.
pub(super) enum Attempt {
    Taken(Ticket),
    Wait(Option<Duration>),
}

/// A record to be written to disk.
pub(super) struct PendingRecord {
    pub(super) key: Key,
    pub(super) kept: Kept,
    /// Who waits for it to be on disk: scope, gauge, and the gauge's epoch.
    pub(super) reserves: Option<(usize, usize, u32)>,
}

/// The data behind the ledger's lock.
pub(super) struct Core {
    pub(super) scopes: Vec<ScopeGauges>,
    pub(super) pending_records: Vec<PendingRecord>,
    pub(super) stopped: Option<Arc<BudgetError>>,
    by_scope: HashMap<BudgetScope, usize>,
    /// Places in `scopes` that are free.
    vacant: Vec<usize>,
    /// Budgets that do not belong to this node alone.
    pub(super) shared: SharedBudgets,
    remembered: Remembered,
    /// One writer at a time takes all pending records: one sync serves everybody who waits.
    writing: bool,
    hold_until: Duration,
    next_address: usize,
}

impl Core {
    pub(super) fn new(remembered: Remembered, hold_until: Duration) -> Self {
        Self {
            scopes: Vec::new(),
            pending_records: Vec::new(),
            stopped: None,
            by_scope: HashMap::new(),
            vacant: Vec::new(),
            shared: SharedBudgets::none(),
            remembered,
            writing: false,
            hold_until,
            next_address: 0,
        }
    }

    pub(super) fn is_held(&self, now: Duration) -> bool {
        self.stopped.is_some() || now < self.hold_until
    }

    /// Index of the scope, which is restored on first use.
    pub(super) fn index(&mut self, scope: &BudgetScope, shared: &Shared, now: Duration) -> usize {
        if let Some(&index) = self.by_scope.get(scope) {
            self.scopes[index].used = now;
            return index;
        }
        if self.by_scope.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.forget_idle(shared, now);
        }
        let gauges =
            ScopeGauges::new(scope.clone(), shared.owners(scope), &self.remembered, now, &shared.settings);
        let index = match self.vacant.pop() {
            Some(index) => {
                self.scopes[index] = gauges;
                index
            }
            None => {
                self.scopes.push(gauges);
                self.scopes.len() - 1
            }
        };
        self.by_scope.insert(scope.clone(), index);
        index
    }

    /// Forgets scopes that nobody uses and of which nothing is known but what their next request shows: a crawl of many
    /// hosts leaves thousands of them. Nobody knows their place: no request is under way, no record is being written.
    fn forget_idle(&mut self, shared: &Shared, now: Duration) {
        let (scopes, vacant, remembered) = (&mut self.scopes, &mut self.vacant, &mut self.remembered);
        self.by_scope.retain(|scope, &mut index| {
            if !scopes[index].is_idle(now) {
                return true;
            }
            for address in shared.owners(scope) {
                // It was restored from this record, which is older than what was known since.
                remembered.remove(&Key { scope: scope.name().to_owned(), address: *address });
            }
            scopes[index] = ScopeGauges::vacant();
            vacant.push(index);
            false
        });
    }

    pub(super) fn take(
        &mut self,
        scope: &BudgetScope,
        ledger: &Ledger,
        now: Duration,
    ) -> Result<Attempt, BudgetError> {
        let shared = &*ledger.shared;
        if let Some(error) = &self.stopped {
            return Err(BudgetError::Stopped(Arc::clone(error)));
        }
        if now < self.hold_until {
            return Ok(Attempt::Wait(Some(self.hold_until)));
        }
        if self.shared.covers(scope) {
            return Ok(self.take_shared(scope, ledger, now));
        }
        let index = self.index(scope, shared, now);
        let (pick, unwritten) = self.scopes[index].pick(now);
        if let Some(gauge) = unwritten {
            self.announce(index, gauge, true, shared, now);
        }
        let gauge = match pick {
            Pick::Go(gauge) => gauge,
            Pick::Wait(until) => return Ok(Attempt::Wait(until)),
        };
        let other = scope.other().map(|other| self.index(other, shared, now));
        if let Some(until) = other.and_then(|other| self.waits(other, gauge, shared, now)) {
            return Ok(Attempt::Wait(Some(until)));
        }
        let place = self.take_from(index, gauge, shared, now);
        let other = other.map(|other| self.take_from(other, gauge, shared, now));
        let address = match scope.per() {
            Per::Address => gauge,
            Per::Network => {
                self.next_address = self.next_address.wrapping_add(1);
                shared.networks.member(gauge, self.next_address)
            }
            Per::Source => {
                self.next_address = self.next_address.wrapping_add(1);
                self.next_address % shared.addresses.len().max(1)
            }
        };
        Ok(Attempt::Taken(Ticket::new(ledger.clone(), address, place, other)))
    }

    fn take_from(&mut self, scope: usize, gauge: usize, shared: &Shared, now: Duration) -> Place {
        let epoch = self.scopes[scope].gauges[gauge].take();
        if self.scopes[scope].gauges[gauge].runs_low() {
            self.announce(scope, gauge, true, shared, now);
        }
        Place::Own { scope, gauge, epoch }
    }

    /// Takes a request of this node's share.
    fn take_shared(&mut self, scope: &BudgetScope, ledger: &Ledger, now: Duration) -> Attempt {
        if !self.shared.is_decided() {
            return Attempt::Wait(Some(now + OTHER_BUSY));
        }
        if [Some(scope), scope.other()].into_iter().flatten().any(|scope| self.is_under_way(scope)) {
            // Requests of the time when each node had a budget of its own are counted by nobody else.
            return Attempt::Wait(Some(now + OTHER_BUSY));
        }
        let id = self.shared.id(scope, now);
        let other = scope.other().map(|other| self.shared.id(other, now));
        for id in [Some(id), other].into_iter().flatten() {
            let waits = self.shared.get_mut(id).and_then(|budget| {
                let ready = budget.is_ready(now);
                (!ready).then(|| budget.wish(now))
            });
            if let Some(until) = waits {
                self.shared.wake.notify_one();
                return Attempt::Wait(until);
            }
        }
        let mut take = |id: u64| {
            let budget = self.shared.get_mut(id)?;
            Some(Place::Shared { id, taken: budget.take(now) })
        };
        let other = other.and_then(&mut take);
        let Some(place) = take(id) else { return Attempt::Wait(None) };
        self.next_address = self.next_address.wrapping_add(1);
        let address = self.next_address % ledger.shared.addresses.len().max(1);
        Attempt::Taken(Ticket::new(ledger.clone(), address, place, other))
    }

    /// Whether a request of a gauge of this node has no answer yet.
    fn is_under_way(&self, scope: &BudgetScope) -> bool {
        let index = self.by_scope.get(scope).and_then(|index| self.scopes.get(*index));
        index.is_some_and(|scope| scope.gauges.iter().any(|gauge| gauge.in_flight() > 0))
    }

    /// Until when a gauge has to be waited for, if it is not free.
    fn waits(&mut self, index: usize, gauge: usize, shared: &Shared, now: Duration) -> Option<Duration> {
        let scope = &mut self.scopes[index];
        match scope.gauges[gauge].ready(now, scope.known_limit) {
            Ready::Go => None,
            Ready::Reserve => {
                self.announce(index, gauge, true, shared, now);
                Some(now + OTHER_BUSY)
            }
            Ready::Wait(until) => Some(until.unwrap_or(now + OTHER_BUSY)),
        }
    }

    pub(super) fn settle(
        &mut self,
        ticket: &Ticket,
        rate: &RateInfo,
        shared: &Shared,
        now: Duration,
        jitter: f64,
    ) {
        self.settle_at(ticket.place(), rate, shared, now, jitter);
        if let Some(Place::Shared { id, taken }) = ticket.other() {
            if let Some(budget) = self.shared.get_mut(id) {
                budget.settle_other(taken, rate.delivery, now);
                budget.changed.notify_one();
            }
        } else if let Some(other) = ticket.other() {
            // It is counted there, and the answer does not tell how much is left.
            let rate = match rate.delivery {
                Delivery::NotSent => RateInfo::not_sent(),
                Delivery::Unanswered | Delivery::Answered(_) => RateInfo::unanswered(),
            };
            self.settle_at(other, &rate, shared, now, jitter);
        }
    }

    fn settle_at(&mut self, place: Place, rate: &RateInfo, shared: &Shared, now: Duration, jitter: f64) {
        let (index, gauge, epoch) = match place {
            Place::Own { scope, gauge, epoch } => (scope, gauge, epoch),
            Place::Shared { id, taken } => {
                if let Some(budget) = self.shared.get_mut(id) {
                    budget.settle(taken, rate, now, &shared.settings, jitter);
                    budget.changed.notify_one();
                }
                return self.shared.wake.notify_one();
            }
        };
        let scope = &mut self.scopes[index];
        let persist = scope.gauges[gauge].settle(epoch, rate, now, &shared.settings, jitter);
        scope.touched(gauge);
        scope.changed.notify_one();
        let low = scope.gauges[gauge].runs_low();
        if persist || low {
            self.announce(index, gauge, low, shared, now);
        }
    }

    /// Queues a gauge's record; with `reserving`, requests wait for it.
    fn announce(&mut self, index: usize, gauge: usize, reserving: bool, shared: &Shared, now: Duration) {
        let scope = &mut self.scopes[index];
        let kept = scope.gauges[gauge].keep(reserving, now, shared.time.stamp());
        let address = shared.owner(&scope.scope, gauge);
        let key = Key { scope: scope.scope.name().to_owned(), address };
        let epoch = scope.gauges[gauge].epoch();
        self.pending_records.push(PendingRecord {
            key,
            kept,
            reserves: reserving.then_some((index, gauge, epoch)),
        });
    }

    /// Whether a writer has to be started, which then counts as running.
    pub(super) fn begin_writing(&mut self) -> bool {
        let begin = !self.writing && !self.pending_records.is_empty() && self.stopped.is_none();
        self.writing |= begin;
        begin
    }

    /// The next records for the writer; empty once it may end.
    pub(super) fn take_pending(&mut self) -> Vec<PendingRecord> {
        let pending_records = std::mem::take(&mut self.pending_records);
        self.writing = !pending_records.is_empty();
        pending_records
    }

    /// The records are on disk: those who waited for them may proceed.
    pub(super) fn written(&mut self, reserved: impl Iterator<Item = (usize, usize, u32)>) {
        for (index, gauge, epoch) in reserved {
            let scope = &mut self.scopes[index];
            scope.gauges[gauge].written(epoch);
            scope.touched(gauge);
            scope.changed.notify_one();
        }
    }

    /// Nothing can be written any more, so nothing may be sent any more.
    pub(super) fn stop(&mut self, error: BudgetError) {
        self.stopped = Some(Arc::new(error));
        for scope in &self.scopes {
            scope.changed.notify_waiters();
        }
    }
}
