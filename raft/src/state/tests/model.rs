//! A simple model of the tracker: sets of accounts, each in one state. It knows no queues, storages of
//! inputs, shares or records.

use std::collections::{BTreeMap, BTreeSet};

use storage::dataset::FileKind;
use storage::dataset::SourceName;
use storage::ids::UserId;

use crate::model::*;

type Account = (CrawlId, UserId);

#[derive(Default)]
pub(super) struct Model {
    pub(super) clock: u64,
    pub(super) crawls: BTreeMap<CrawlId, ModelCrawl>,
    pub(super) accounts: BTreeMap<Account, ModelAccount>,
    pub(super) sessions: BTreeMap<SessionId, (NodeId, StorageId)>,
    pub(super) drained: BTreeSet<NodeId>,
    jobs: BTreeMap<JobId, Account>,
    absent: BTreeMap<StorageId, u64>,
}

#[derive(Default)]
pub(super) struct ModelCrawl {
    pub(super) operations: Operations,
    pub(super) traversal: Option<Traversal>,
    pub(super) depth: Option<u32>,
    pub(super) chunks: u64,
    pub(super) seed_chunks: u64,
    pub(super) sealed: bool,
    pub(super) paused: bool,
    pub(super) cancelled: bool,
    pub(super) counters: CrawlCounters,
    pub(super) seen: BTreeSet<UserId>,
    pub(super) frontier: Vec<UserId>,
    pub(super) source: SourceName,
}

pub(super) struct ModelAccount {
    depth: u32,
    pub(super) fate: Fate,
    /// Remaining operations; the first one runs or waits.
    todo: Operations,
    attempts: u32,
    completed: bool,
    pub(super) gone: Vec<Gone>,
    pub(super) failed: Operations,
    not_before: u64,
    last_lease: LeaseId,
    /// How often its input was reported as missing.
    pub(super) missed: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Waiting,
    /// Started, and no node has it.
    Between,
    Leased(JobId, LeaseId, SessionId),
    Publishing(Unpublished),
    Completed,
    Gone,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unpublished {
    pub(super) job: JobId,
    pub(super) lease: LeaseId,
    /// The session that publishes it.
    pub(super) session: Option<SessionId>,
    /// Whether that session adopted it.
    pub(super) left: bool,
    storage: StorageId,
    items: u64,
    /// Whether its crawl was cancelled meanwhile: the account is cancelled, its file is not free yet.
    pub(super) of_cancelled: bool,
}

impl Model {
    pub(super) fn phase(&self, id: CrawlId) -> CrawlPhase {
        let crawl = &self.crawls[&id];
        let is_open = |a: &ModelAccount| {
            !matches!(a.fate, Fate::Completed | Fate::Gone | Fate::Failed | Fate::Cancelled)
        };
        match crawl {
            c if c.cancelled => CrawlPhase::Cancelled,
            c if c.sealed && !self.of(id).any(is_open) => CrawlPhase::Finished,
            c if c.paused => CrawlPhase::Paused,
            c if c.sealed => CrawlPhase::Running,
            _ => CrawlPhase::Loading,
        }
    }

    pub(super) fn of(&self, id: CrawlId) -> impl Iterator<Item = &ModelAccount> {
        self.accounts.iter().filter(move |((crawl, _), _)| *crawl == id).map(|(_, account)| account)
    }

    pub(super) fn accept(&mut self, id: CrawlId, user: &UserId, depth: u32) -> bool {
        let crawl = self.crawls.get_mut(&id).unwrap();
        let new = crawl.seen.insert(user.clone());
        if new {
            let account = ModelAccount {
                depth,
                fate: Fate::Waiting,
                todo: crawl.operations,
                attempts: 0,
                completed: false,
                gone: Vec::new(),
                failed: Operations::NONE,
                not_before: 0,
                last_lease: LeaseId(0),
                missed: 0,
            };
            assert!(self.accounts.insert((id, user.clone()), account).is_none());
        }
        new
    }

    pub(super) fn grant(&mut self, job: &Job, session: SessionId) {
        let key = (job.crawl, job.user.clone());
        let phase = self.phase(job.crawl);
        assert_eq!(job.source, self.crawls[&job.crawl].source);
        assert!(matches!(phase, CrawlPhase::Running | CrawlPhase::Loading), "granted while {phase:?}");
        let (node, storage) = self.sessions[&session];
        assert!(!self.drained.contains(&node), "granted to a drained node");
        let lies_elsewhere = |p: &Progress| p.draft.as_ref().is_some_and(|d| d.storage != storage);
        assert!(!job.progress.as_ref().is_some_and(lies_elsewhere), "its draft lies elsewhere: {job:?}");
        for (other, account) in &self.accounts {
            let held = matches!(account.fate, Fate::Leased(..) | Fate::Publishing(..));
            let source = |crawl: CrawlId| &self.crawls[&crawl].source;
            let same = other.1 == key.1
                && source(other.0) == source(key.0)
                && writes(account.todo.first()) == writes(Some(job.operation));
            let both = held && same && writes(Some(job.operation)).is_some();
            assert!(!both, "TWM-L3: {other:?} writes the file of {job:?}");
        }
        let clock = self.clock;
        let account = self.accounts.get_mut(&key).expect("only accepted accounts are granted");
        assert!(matches!(account.fate, Fate::Waiting | Fate::Between), "TWM-L1: {:?}", account.fate);
        assert!(account.not_before <= clock, "granted before its time");
        assert!(job.lease > account.last_lease, "TWM-L1: a later lease is larger");
        let expected = account.todo.first().unwrap();
        if job.operation != expected {
            assert_eq!(Some(job.operation), expected.input(), "neither the next operation nor its input");
            account.attempts = 0;
            if expected == Operation::Update {
                account.todo = account.todo.without(Operation::Update);
            }
            account.todo = account.todo.with(job.operation);
        }
        assert_eq!((job.depth, job.attempt), (account.depth, account.attempts + 1));
        account.fate = Fate::Leased(job.id, job.lease, session);
        account.last_lease = job.lease;
        self.jobs.insert(job.id, key);
    }

    /// Applies a finding; false if its lease is stale.
    pub(super) fn find(&mut self, session: SessionId, job: JobId, lease: LeaseId, finding: &Finding) -> bool {
        let Some(key) = self.jobs.get(&job).cloned() else { return false };
        let storage = self.sessions[&session].1;
        let clock = self.clock;
        let account = self.accounts.get_mut(&key).unwrap();
        let counters = &mut self.crawls.get_mut(&key.0).unwrap().counters;
        let operation = account.todo.first();
        let counted = operation.map(|operation| counters.of(operation));
        match (account.fate, finding) {
            (Fate::Publishing(u), _) if (u.job, u.lease, u.session) == (job, lease, Some(session)) => {
                match finding {
                    Finding::Published | Finding::DraftLost if u.of_cancelled => {
                        account.fate = Fate::Cancelled
                    }
                    Finding::Published => done(account, counted.unwrap(), u.items),
                    Finding::DraftLost => account.fails(counted.unwrap(), true, clock),
                    _ => {}
                }
            }
            (Fate::Leased(j, l, s), _) if (j, l, s) == (job, lease, session) => match finding {
                Finding::Completed { file: true, items } => {
                    let (session, left, items) = (Some(session), false, *items);
                    let of_cancelled = false;
                    account.fate = Fate::Publishing(Unpublished {
                        job,
                        lease,
                        session,
                        left,
                        storage,
                        items,
                        of_cancelled,
                    });
                }
                Finding::Completed { file: false, items } => {
                    let before = account.todo;
                    account.without_dependents();
                    for done_too in before.iter().filter(|op| !account.todo.contains(*op)) {
                        counters.of(done_too).completed += 1;
                    }
                    done(account, counters.of(operation.unwrap()), *items);
                }
                Finding::Published | Finding::DraftLost | Finding::Advanced(_) => {}
                Finding::Limited { after_ms, .. } => {
                    counted.unwrap().limited += 1;
                    account.fate = Fate::Between;
                    account.not_before = clock + after_ms;
                }
                Finding::WaitsForHost { .. } => {
                    counted.unwrap().limited += 1;
                    account.fate = Fate::Between;
                    account.not_before = 0;
                }
                Finding::Gone(reason) => {
                    counted.unwrap().gone += 1;
                    account.gone.push(Gone { operation: operation.unwrap(), reason: *reason });
                    account.without_dependents();
                    account.next();
                }
                Finding::Failed { retry, after_ms, .. } => {
                    account.fails(counted.unwrap(), *retry, clock + after_ms);
                }
                Finding::HandedBack { .. } => account.fate = Fate::Between,
                Finding::InputMissing => {
                    account.missed += 1;
                    account.fate = Fate::Between;
                }
                Finding::Discovered { admitted, discarded, .. } => {
                    let depth = account.depth + 1;
                    self.discover(key.0, admitted, discarded, depth);
                }
            },
            _ => return false,
        }
        true
    }

    fn discover(&mut self, id: CrawlId, admitted: &[UserId], discarded: &[UserId], depth: u32) {
        for user in discarded {
            let crawl = self.crawls.get_mut(&id).unwrap();
            crawl.counters.discovered += u64::from(crawl.seen.insert(user.clone()));
        }
        for user in admitted {
            let crawl = self.crawls.get_mut(&id).unwrap();
            if crawl.seen.contains(user) {
                continue;
            }
            crawl.counters.discovered += 1;
            crawl.counters.admitted += 1;
            let goes_on = crawl.depth.is_none_or(|limit| depth <= limit);
            if goes_on && crawl.traversal != Some(Traversal::Default) {
                self.accept(id, user, depth);
            } else {
                crawl.seen.insert(user.clone());
                crawl.frontier.push(user.clone());
            }
        }
    }

    pub(super) fn cancel(&mut self, id: CrawlId) {
        self.crawls.get_mut(&id).unwrap().cancelled = true;
        for ((crawl, _), account) in &mut self.accounts {
            let is_final = matches!(account.fate, Fate::Completed | Fate::Gone | Fate::Failed);
            if *crawl == id && !is_final {
                account.fate = match account.fate {
                    Fate::Publishing(u) => Fate::Publishing(Unpublished { of_cancelled: true, ..u }),
                    _ => Fate::Cancelled,
                };
            }
        }
    }

    /// Forgets a crawl.
    pub(super) fn delete(&mut self, id: CrawlId) {
        self.crawls.remove(&id);
        self.accounts.retain(|(crawl, _), _| *crawl != id);
        self.jobs.retain(|_, (crawl, _)| *crawl != id);
    }

    /// Retries a failed account; false if it has not failed.
    pub(super) fn retry(&mut self, id: CrawlId, user: &UserId) -> bool {
        let operations = self.crawls[&id].operations;
        let Some(account) = self.accounts.get_mut(&(id, user.clone())) else { return false };
        if account.fate != Fate::Failed {
            return false;
        }
        let failed = std::mem::take(&mut account.failed);
        let reads = |op: &Operation| op.input().is_some_and(|input| failed.contains(input));
        account.todo = operations.iter().filter(reads).fold(failed, Operations::with);
        account.attempts = 0;
        account.missed = 0;
        account.fate = Fate::Between;
        account.not_before = 0;
        true
    }

    pub(super) fn failed(&self, id: CrawlId) -> Vec<UserId> {
        let failed = self.accounts.iter().filter(|((crawl, _), a)| *crawl == id && a.fate == Fate::Failed);
        failed.map(|((_, user), _)| user.clone()).collect()
    }

    pub(super) fn open_session(&mut self, id: SessionId, node: NodeId, storage: StorageId) {
        self.sessions.insert(id, (node, storage));
        self.absent.remove(&storage);
        self.hand_on(storage);
    }

    pub(super) fn end_session(&mut self, id: SessionId) {
        let (_, storage) = self.sessions.remove(&id).unwrap();
        for account in self.accounts.values_mut() {
            account.fate = match account.fate {
                Fate::Leased(_, _, s) if s == id => Fate::Between,
                Fate::Publishing(u) if u.session == Some(id) => {
                    Fate::Publishing(Unpublished { session: None, left: false, ..u })
                }
                other => other,
            };
        }
        if !self.sessions.values().any(|(_, s)| *s == storage) {
            self.absent.insert(storage, self.clock);
        }
        self.hand_on(storage);
    }

    /// A publication without a session goes to the oldest session of its storage.
    fn hand_on(&mut self, storage: StorageId) {
        let Some(heir) = self.sessions.iter().find(|(_, (_, s))| *s == storage).map(|(id, _)| *id) else {
            return;
        };
        for account in self.accounts.values_mut() {
            if let Fate::Publishing(u) = &mut account.fate {
                if u.session.is_none() && u.storage == storage {
                    (u.session, u.left) = (Some(heir), true);
                }
            }
        }
    }

    /// Gives up storages that have been without a session for too long.
    pub(super) fn tick(&mut self, grace_ms: u64) {
        let clock = self.clock;
        let gone: Vec<_> =
            self.absent.iter().filter(|(_, since)| **since + grace_ms <= clock).map(|a| *a.0).collect();
        for storage in gone {
            self.absent.remove(&storage);
            for account in self.accounts.values_mut() {
                match account.fate {
                    Fate::Publishing(u) if u.session.is_none() && u.storage == storage => {
                        account.fate = if u.of_cancelled { Fate::Cancelled } else { Fate::Between };
                    }
                    _ => {}
                }
            }
        }
    }
}

impl ModelAccount {
    /// An attempt at the first operation failed.
    fn fails(&mut self, counted: &mut OperationCounters, retry: bool, not_before: u64) {
        self.attempts += 1;
        if retry && self.attempts < MAX_ATTEMPTS {
            counted.retried += 1;
            self.fate = Fate::Between;
            self.not_before = not_before;
        } else {
            counted.failed += 1;
            self.failed = self.failed.with(self.todo.first().unwrap());
            self.without_dependents();
            self.next();
        }
    }

    fn without_dependents(&mut self) {
        let current = self.todo.first();
        self.todo = self.todo.iter().filter(|op| op.input().is_none() || op.input() != current).collect();
    }

    /// The first operation is over.
    fn next(&mut self) {
        self.todo = self.todo.without(self.todo.first().unwrap());
        self.attempts = 0;
        self.not_before = 0;
        self.fate = match () {
            () if !self.todo.is_empty() => Fate::Between,
            () if !self.failed.is_empty() => Fate::Failed,
            () if self.completed => Fate::Completed,
            () => Fate::Gone,
        };
    }
}

fn done(account: &mut ModelAccount, counters: &mut OperationCounters, items: u64) {
    counters.completed += 1;
    counters.items += items;
    account.completed = true;
    account.next();
}

/// Which of an account's files an operation writes.
fn writes(operation: Option<Operation>) -> Option<FileKind> {
    match operation? {
        Operation::Timeline | Operation::Update => Some(FileKind::Timeline),
        Operation::Followers => Some(FileKind::Followers),
        Operation::Analysis => Some(FileKind::Profiles),
    }
}

/// Attempts after which a failing job goes to the error list.
pub(super) const MAX_ATTEMPTS: u32 = 3;
