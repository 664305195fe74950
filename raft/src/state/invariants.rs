//! The invariants as checks, run after every command in tests, in fuzzing, and in nodes with `TWM_CHECK_INVARIANTS`
//! set, as in the clusters of the tests.
//!
//! A check reads the whole state. It runs after every command while the state is small; beyond [`SMALL`] records it
//! runs after every [`SELDOM`]th log entry, so that a cluster under load keeps its speed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::State;
use super::crawl::STRIDE;
use super::crawl_jobs::JobCounts;
use super::job::Phase;

/// A state with at most this many jobs, crawls and sessions is checked after every command.
const SMALL: usize = 512;
/// A larger state is checked after log entries whose index is a multiple of this.
const SELDOM: u64 = 64;

/// A violated rule: its id and the details.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant}: {what}")]
pub struct Violation {
    pub(super) invariant: &'static str,
    pub(super) what: String,
}

type Checked = Result<(), Violation>;

fn ensure(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

/// When and how this replica is checked; not part of the state.
pub(super) struct Checks {
    on: bool,
    /// Cluster time at the last check.
    clock: u64,
}

impl Checks {
    pub(super) fn on(&self) -> bool {
        self.on
    }

    /// On in tests and in fuzzing; in a node it is a setting.
    pub(super) fn as_built() -> Self {
        Self { on: cfg!(any(test, feature = "check-invariants")), clock: 0 }
    }
}

impl State {
    /// Enables or disables checks after commands. A violation stops the replica.
    pub fn check_after_commands(&mut self, on: bool) {
        self.checks.on = on;
    }

    /// Called at the end of each command.
    pub(super) fn check_if_due(&mut self) {
        let size = self.jobs.len() + self.crawls.len() + self.sessions.len();
        if !self.checks.on || self.failure.is_some() || (size > SMALL && self.index % SELDOM != 0) {
            return;
        }
        if let Err(Violation { invariant, what }) = self.check_invariants() {
            self.broken(invariant, what);
        }
        self.checks.clock = self.head.clock;
    }

    /// The first violated invariant.
    pub fn check_invariants(&self) -> Checked {
        self.check_crawls()?;
        self.check_leases()?;
        self.check_sessions()?;
        self.check_money()?;
        self.check_shares()?;
        self.check_hosts()?;
        self.outbox.check().or_else(|what| ensure(false, "TWM-M1", || what))?;
        ensure(self.head.clock >= self.checks.clock, "TWM-T1", || {
            format!("cluster time went from {} back to {}", self.checks.clock, self.head.clock)
        })
    }

    fn check_crawls(&self) -> Checked {
        let mut jobs: HashMap<_, JobCounts> = HashMap::new();
        for (_, record) in self.jobs.iter() {
            let count = jobs.entry(record.crawl()).or_default();
            count.open += 1;
            match *record.phase() {
                Phase::Ready { .. } => count.ready += 1,
                Phase::Delayed { .. } | Phase::AtHost { .. } => count.delayed += 1,
                Phase::Leased { .. } | Phase::Publishing { .. } => count.leased += 1,
            }
        }
        for (id, crawl) in self.crawls.iter() {
            let (users, waiting) = (crawl.users(), crawl.accounts().waiting());
            let sum =
                users.waiting + users.active + users.completed + users.gone + users.failed + users.cancelled;
            ensure(users.accepted == sum, "TWM-C1", || {
                format!("crawl {id} has an account in no state or in two: {users:?}")
            })?;
            ensure(users.waiting == waiting, "TWM-C1", || {
                format!("crawl {id} counts {} waiting accounts, its queue {waiting}", users.waiting)
            })?;
            let there = jobs.remove(&id).unwrap_or_default();
            let counted = crawl.jobs().counts();
            ensure(counted == there, "TWM-C1", || {
                format!("crawl {id} counts {counted:?}; there are {there:?}")
            })?;
            ensure(crawl.phase().is_over() || users.active == counted.open, "TWM-C1", || {
                format!("crawl {id} has {} active accounts and {} jobs", users.active, counted.open)
            })?;
            ensure(crawl.phase().is_over() != self.crawls.is_active(id), "TWM-C1", || {
                format!("crawl {id} is {} and listed as something else", crawl.phase().name())
            })?;
            ensure(
                crawl.accounts().is_put_away() || users.accepted <= crawl.accounts().seen(),
                "TWM-C2",
                || format!("crawl {id} accepted an account that it has not seen"),
            )?;
            ensure(crawl.pass() <= self.head.pass.saturating_add(STRIDE), "TWM-F1", || {
                format!("crawl {id} is more than one turn ahead: {} of {}", crawl.pass(), self.head.pass)
            })?;
        }
        ensure(jobs.is_empty(), "TWM-C1", || format!("jobs belong to crawls that are not there: {jobs:?}"))?;
        ensure(self.crawls.has_all_active(), "TWM-C1", || "a crawl is active and not there".to_owned())
    }

    fn check_leases(&self) -> Checked {
        let mut leases = HashSet::new();
        let mut files = HashMap::new();
        let mut delayed = 0;
        for (job, record) in self.jobs.iter() {
            if let Some(lease) = record.lease() {
                ensure(leases.insert(lease), "TWM-L1", || format!("lease {lease} is valid for two jobs"))?;
            }
            match *record.phase() {
                Phase::Leased { session, .. } => {
                    let holder = self.sessions.get(session);
                    ensure(holder.is_some_and(|s| s.leased().contains(&job)), "TWM-L1", || {
                        format!("job {job} is leased to session {session}, which does not have it")
                    })?;
                }
                Phase::Publishing { session, adopted, .. } => {
                    self.check_publication(job, session, adopted)?
                }
                Phase::Delayed { until } => {
                    delayed += 1;
                    ensure(self.jobs.delayed().contains(&(until, job)), "TWM-C1", || {
                        format!("job {job} is delayed and in no queue")
                    })?;
                }
                // The table of hosts is checked by itself.
                Phase::Ready { .. } | Phase::AtHost { .. } => {}
            }
            if let (Some(_), Some(file)) = (record.lease(), self.file_of(record)) {
                let writer = self.writers.writer(&file);
                ensure(writer == Some(job), "TWM-L3", || {
                    format!("job {job} writes {file:?}, which job {writer:?} holds")
                })?;
                ensure(files.insert(file, job).is_none(), "TWM-L3", || {
                    format!("job {job} writes a file too")
                })?;
            }
        }
        ensure(self.jobs.delayed().len() == delayed, "TWM-C1", || {
            "a job that is not delayed waits".to_owned()
        })?;
        ensure(self.writers.len() == files.len(), "TWM-L3", || "a file is held that nobody writes".to_owned())
    }

    /// TWM-P1: a publication belongs to a session, or its storage has none.
    fn check_publication(
        &self,
        job: crate::model::JobId,
        session: Option<crate::model::SessionId>,
        adopted: bool,
    ) -> Checked {
        let Some(session) = session else { return Ok(()) };
        let holder = self.sessions.get(session);
        let told =
            holder.is_some_and(|s| s.adopted().contains(&job) == adopted && !s.leased().contains(&job));
        ensure(told, "TWM-P1", || {
            format!("job {job} is to be published by session {session}, which was not told")
        })
    }

    fn check_money(&self) -> Checked {
        let crawl = |what: &str| what.starts_with("TWM-X2");
        self.spend
            .check()
            .or_else(|what| ensure(false, if crawl(&what) { "TWM-X2" } else { "TWM-X1" }, || what))?;
        let live = |session| self.sessions.get(session).is_some();
        ensure(self.spend.session_ids().all(live), "TWM-X1", || {
            "a session that has ended still has a book of money".to_owned()
        })
    }

    /// TWM-B1.
    fn check_shares(&self) -> Checked {
        let ended = self.shares.holders().find(|session| self.sessions.get(*session).is_none());
        ensure(ended.is_none(), "TWM-B1", || format!("session {ended:?} has ended and reports on shares"))?;
        self.shares.check().or_else(|what| ensure(false, "TWM-B1", || what))
    }

    fn check_sessions(&self) -> Checked {
        let mut nodes = BTreeMap::new();
        for (id, session) in self.sessions.iter() {
            let (node, storage) = (session.node(), session.storage());
            ensure(nodes.insert(node, id).is_none(), "TWM-S1", || format!("node {node} has two sessions"))?;
            ensure(!self.head.absent.contains_key(&storage), "TWM-S1", || {
                format!("storage {storage} is present and absent")
            })?;
            let held = |job| self.jobs.get(job).is_some_and(|r| r.session() == Some(id));
            let all = session.leased().iter().chain(session.adopted());
            ensure(all.clone().all(|&job| held(job)), "TWM-L1", || {
                format!("session {id} has a job that is another's: {:?}", all.clone().collect::<Vec<_>>())
            })?;
            // TWM-S2: what the last report was granted is unchanged or cancelled.
            let granted = session.last_granted();
            let as_granted = |&job: &_| self.jobs.get(job).is_none() || session.leased().contains(&job);
            ensure(granted.iter().all(as_granted), "TWM-S2", || {
                format!("a repeated report of session {id} would be granted what others have: {granted:?}")
            })?;
        }
        Ok(())
    }
}
