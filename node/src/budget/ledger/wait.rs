//! Waiting for a budget.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::{Acquired, Attempt, Ledger, Ticket};
use crate::budget::BudgetError;
use crate::rate::BudgetScope;

impl Ledger {
    /// A ticket for one request as soon as one may be sent, waiting up to `max_wait`.
    ///
    /// Waiters are woken one at a time by whatever frees a request: an answer, a write, the end of a window.
    pub async fn acquire_within(
        &self,
        scope: &BudgetScope,
        max_wait: Duration,
    ) -> Result<Acquired<Ticket>, BudgetError> {
        let deadline = self.shared.time.now() + max_wait;
        let changed = self.changed(scope);
        let mut pass_on = None;
        let mut in_line = None;
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            // Enabled before the check, so that no change is missed.
            notified.as_mut().enable();
            let until = match self.attempt(scope)? {
                Attempt::Taken(ticket) => return Ok(Acquired::Ready(ticket)),
                Attempt::Wait(until) => until,
            };
            let now = self.shared.time.now();
            if now >= deadline {
                return Ok(Acquired::Wait(self.wait_hint(until)));
            }
            pass_on.get_or_insert_with(|| PassOn(Arc::clone(&changed)));
            in_line.get_or_insert_with(|| self.wait_in_line(scope));
            let pause = until.map_or(deadline, |until| until.min(deadline)).saturating_sub(now);
            tokio::select! {
                () = notified => {}
                // A timer that fires slightly early would make the loop spin.
                () = tokio::time::sleep(pause.max(Duration::from_millis(1))) => {}
            }
        }
    }

    /// Counts a waiter of shared budgets as long as the value lives: so many requests are asked for.
    fn wait_in_line(&self, scope: &BudgetScope) -> InLine {
        let now = self.shared.time.now();
        let mut core = self.shared.lock();
        let mut ids = Vec::new();
        if core.shared.covers(scope) {
            for scope in [Some(scope), scope.other()].into_iter().flatten() {
                let id = core.shared.id(scope, now);
                core.shared.count_waiter(id, true);
                ids.push(id);
            }
        }
        InLine { ledger: self.clone(), ids }
    }

    fn changed(&self, scope: &BudgetScope) -> Arc<Notify> {
        let now = self.shared.time.now();
        let mut core = self.shared.lock();
        if core.shared.covers(scope) {
            let id = core.shared.id(scope, now);
            return core.shared.get(id).map(|budget| Arc::clone(&budget.changed)).unwrap_or_default();
        }
        let index = core.index(scope, &self.shared, now);
        Arc::clone(&core.scopes[index].changed)
    }
}

/// A worker that waits for shared budgets.
struct InLine {
    ledger: Ledger,
    ids: Vec<u64>,
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.ledger.shared(|shared| self.ids.iter().for_each(|id| shared.count_waiter(*id, false)));
    }
}

/// Wakes the next waiter when one leaves for whatever reason: each wake-up goes to a single waiter, and the one that
/// leaves may be the only one that knew when to check again.
struct PassOn(Arc<Notify>);

impl Drop for PassOn {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
