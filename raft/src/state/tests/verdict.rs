//! Compares the tracker with the model.

use storage::ids::UserId;

use super::super::State;
use super::model::{Fate, Model};
use crate::model::Operations;

impl Model {
    /// Asserts that the tracker agrees about every crawl.
    pub(super) fn check(&self, state: &State) {
        for view in state.crawls() {
            let model = &self.crawls[&view.id];
            assert_eq!(view.phase, self.phase(view.id), "crawl {}", view.id);
            let mut expected = model.counters;
            expected.users.accepted = self.of(view.id).count() as u64;
            expected.frontier = model.frontier.len() as u64;
            for account in self.of(view.id) {
                let users = &mut expected.users;
                *match account.fate {
                    Fate::Waiting => &mut users.waiting,
                    Fate::Completed => &mut users.completed,
                    Fate::Gone => &mut users.gone,
                    Fate::Failed => &mut users.failed,
                    Fate::Cancelled => &mut users.cancelled,
                    Fate::Publishing(u) if u.of_cancelled => &mut users.cancelled,
                    Fate::Between | Fate::Leased(..) | Fate::Publishing(..) => &mut users.active,
                } += 1;
            }
            // An account put aside because another crawl writes its file counts as started.
            let put_aside = expected.users.waiting.checked_sub(view.counters.users.waiting);
            let put_aside = put_aside.expect("an account that was granted is said to wait");
            expected.users.waiting -= put_aside;
            expected.users.active += put_aside;
            assert_eq!(view.counters, expected, "crawl {}", view.id);
        }
    }

    /// Asserts that the tracker's lists agree, account by account.
    pub(super) fn check_lists(&self, state: &State) {
        for (&id, model) in &self.crawls {
            let errors = state.errors(id, None, 1_000).unwrap();
            assert_eq!(errors.iter().map(|e| e.user.clone()).collect::<Vec<_>>(), self.failed(id));
            for error in errors {
                let failed: Operations = error.why.iter().map(|f| f.operation).collect();
                assert_eq!(failed, self.accounts[&(id, error.user)].failed);
            }
            for gone in state.gone_users(id, None, 1_000).unwrap() {
                assert_eq!(gone.why, self.accounts[&(id, gone.user)].gone);
            }
            assert_eq!(state.frontier(id, 0).unwrap().users, model.frontier);
            if self.phase(id).is_over() {
                // What has ended may be on disk only; the state machine decides.
                let seen: Vec<UserId> = model.seen.iter().cloned().collect();
                assert_eq!(state.seen_and_frontier(id).0, seen);
                continue;
            }
            let mut unseen: Vec<UserId> = model.seen.iter().cloned().collect();
            unseen.push("never@seen".parse().unwrap());
            assert_eq!(state.unseen(id, unseen), ["never@seen".parse().unwrap()]);
        }
    }
}
