//! Shared budgets as a part of the state.

use serde::de::DeserializeOwned;
use storage::planted::{Bug, planted};
use storage::state::StateStore;

use crate::model::{Refusal, Response, SessionId, ShareReport, SharedBudget};

use super::State;
use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError, scan};
use super::saved::Saved;
use super::shares::{Moment, OutOfTurn, Shares};

impl State {
    /// Applies a session's report on shared budgets.
    pub(super) fn share(&mut self, report: &ShareReport, moment: Moment) -> Response {
        let session = report.session;
        if self.sessions.get(session).is_none() {
            return Response::Refused(Refusal::SessionOver(session));
        }
        match self.shares.report(report, moment) {
            Ok(answer) => Response::Shares(answer),
            Err(OutOfTurn { expected }) => {
                Response::Refused(Refusal::OutOfOrder { session, got: report.sequence, expected })
            }
        }
    }

    /// A shared budget, if it is known.
    pub fn shared_budget(&self, name: &str) -> Option<SharedBudget> {
        self.shares.budget(name)
    }
}

impl Shares {
    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut shares = Self::default();
        if let Some(value) = store.get(keys::SHARE_HEAD)? {
            shares.head = stored("scalars of shared budgets", keys::SHARE_HEAD, &value)?;
        }
        for entry in scan(store, keys::of_tag(keys::SHARED_BUDGET)) {
            let (key, value) = entry?;
            let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| LoadError::damaged("shared budget", &key))?;
            shares.budgets.insert(name.into(), stored("shared budget", &key, &value)?);
        }
        for entry in scan(store, keys::of_tag(keys::SHARE_REPORT)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("report on shares", &key);
            let session = SessionId(keys::number_at(&key, 1).ok_or_else(damaged)?);
            shares.sessions.insert(session, stored("report on shares", &key, &value)?);
        }
        Ok(shares)
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        if let Some(head) = self.head.take_changed() {
            changes.put_record("scalars of shared budgets", keys::SHARE_HEAD.to_vec(), head);
        }
        // A budget that was forgotten may be there again.
        for name in self.forgotten.drain(..) {
            changes.delete(keys::shared_budget(&name));
        }
        for (name, budget) in &mut self.budgets {
            let Some(budget) = budget.take_changed() else { continue };
            let key = keys::shared_budget(name);
            match planted(Bug::SharesNotSaved) {
                true => changes.put_record("shared budget", key, &budget.without_shares()),
                false => changes.put_record("shared budget", key, budget),
            }
        }
        for session in self.ended.drain(..) {
            changes.delete(keys::share_report(session));
        }
        for (session, last) in &mut self.sessions {
            if let Some(last) = last.take_changed() {
                changes.put_record("report on shares", keys::share_report(*session), last);
            }
        }
    }

    /// Adds what all replicas have to agree on. Before the version that begins it there is nothing, so that a program
    /// that does not know of it comes to the same sum.
    pub(super) fn add_to(&self, sum: &mut Checksum) {
        if self.sessions.is_empty() && self.budgets.is_empty() {
            return;
        }
        sum.record(&*self.head);
        for (name, budget) in &self.budgets {
            sum.record(name).record(&**budget);
        }
        for (session, last) in &self.sessions {
            sum.record(session).record(&**last);
        }
    }
}

fn stored<T: DeserializeOwned>(what: &'static str, key: &[u8], value: &[u8]) -> Result<Saved<T>, LoadError> {
    postcard::from_bytes(value).map(Saved::loaded).map_err(|_| LoadError::damaged(what, key))
}
