//! What the reports of a session are made of.

use std::time::Duration;

use api::model::{BudgetReport, SessionId, SharedBudget, SharesAnswer};
use api::wire::bounds::MAX_SHARED;
use raft::state::shares::News;

use super::SharedBudgets;
use crate::budget::boot::millis;

/// A report that is to be sent until it is answered.
pub(crate) struct Pending {
    budgets: Vec<(u64, Box<str>, News, u32)>,
}

impl Pending {
    /// As it is sent now.
    pub(crate) fn encode(&self, now: Duration) -> Vec<BudgetReport> {
        let report =
            |(_, name, news, wanted): &(u64, Box<str>, News, u32)| news.report(name, *wanted, millis(now));
        self.budgets.iter().map(report).collect()
    }
}

impl SharedBudgets {
    /// The names of budgets that somebody waits for.
    pub(crate) fn wanted(&self, now: Duration) -> Vec<(u64, Box<str>)> {
        let wanted = self.scopes.iter().filter(|(_, scope)| scope.is_wanted(now));
        wanted.map(|(id, scope)| (*id, scope.name.clone())).collect()
    }

    /// What this replica says about them.
    pub(crate) fn look(&mut self, views: Vec<(u64, Option<SharedBudget>)>) {
        for (id, view) in views {
            if let Some(scope) = self.scopes.get_mut(&id) {
                scope.look(view);
            }
        }
    }

    /// A session begins: what an earlier one held is counted by the state and may not be sent.
    pub(crate) fn begin_session(&mut self, session: SessionId) {
        self.drop_session();
        self.session = Some(session);
    }

    /// What a session has to report now, at most as much as one report takes.
    pub(crate) fn due(&mut self, session: SessionId, now: Duration) -> Option<Pending> {
        if self.session != Some(session) {
            return None;
        }
        let mut budgets = Vec::new();
        for (id, scope) in &mut self.scopes {
            if budgets.len() == MAX_SHARED {
                self.wake.notify_one();
                break;
            }
            if let Some((news, wanted)) = scope.due(now) {
                budgets.push((*id, scope.name.clone(), news, wanted));
            }
        }
        (!budgets.is_empty()).then_some(Pending { budgets })
    }

    /// A report that was first sent at `sent` was answered.
    pub(crate) fn answered(
        &mut self,
        session: SessionId,
        pending: &Pending,
        sent: Duration,
        answer: &SharesAnswer,
    ) {
        // Another one may have begun since.
        if self.session != Some(session) {
            return;
        }
        for ((id, ..), answer) in pending.budgets.iter().zip(&answer.budgets) {
            if let Some(scope) = self.scopes.get_mut(id) {
                scope.answered(sent, answer);
            }
        }
    }

    /// The session is over; nothing of its shares may be sent.
    pub(crate) fn drop_session(&mut self) {
        self.session = None;
        self.scopes.values_mut().for_each(super::SharedScope::drop_session);
    }
}
