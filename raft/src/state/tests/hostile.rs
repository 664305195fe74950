//! No input violates an invariant or stops a replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use storage::state::MemoryStore;

use super::super::{State, write_checkpoint};
use crate::model::*;
use crate::state::shares::Moment;

/// A client that sends random commands, using ids that it has received.
struct Hostile {
    dice: SeededEntropy,
    store: Arc<MemoryStore>,
    state: State,
    index: u64,
    now: u64,
    /// Sessions with the number of their last report.
    sessions: Vec<(SessionId, u64)>,
    /// Number of the last report of money, by session.
    money: BTreeMap<SessionId, u64>,
    leases: Vec<(JobId, LeaseId)>,
}

impl Hostile {
    fn new(seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new());
        let state = State::load(store.clone()).unwrap();
        let (sessions, money, leases) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { dice: SeededEntropy::new(seed), store, state, index: 0, now: 0, sessions, money, leases }
    }

    fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    /// Usually small, at times very large.
    fn number(&self) -> u64 {
        match self.below(12) {
            0 => u64::MAX,
            1 => self.dice.next_u64(),
            _ => self.below(6),
        }
    }

    fn users(&self) -> Vec<UserId> {
        let user = |n| if n % 5 == 0 { format!("u{n}@host").parse().unwrap() } else { UserId::Number(n + 1) };
        (0..self.below(12)).map(|_| user(self.below(40))).collect()
    }

    fn session(&self) -> (SessionId, u64) {
        match self.sessions.len() as u64 {
            0 => (SessionId(self.number()), 0),
            _ if self.below(15) == 0 => (SessionId(self.number()), self.number()),
            n => self.sessions[self.below(n) as usize],
        }
    }

    fn lease(&self) -> (JobId, LeaseId) {
        let known = self.leases.len() as u64;
        if known == 0 || self.below(10) == 0 {
            return (JobId(self.number()), LeaseId(self.number()));
        }
        // Often a late one; at times one job with another's lease.
        let at = |n: u64| self.leases[(known - 1 - self.below(known.min(n))) as usize];
        if self.below(12) == 0 { (at(40).0, at(40).1) } else { at(12) }
    }

    fn progress(&self) -> Progress {
        let draft = DraftProgress {
            lease: LeaseId(self.number()),
            storage: StorageId(self.number()),
            token: self.number(),
            items: self.number(),
            based_on: self.number(),
        };
        let cursor = "c".repeat(self.below(3) as usize * 2_000);
        Progress { cursor, draft: (self.below(2) == 0).then_some(draft) }
    }

    fn finding(&self) -> Finding {
        let progress = (self.below(2) == 0).then(|| self.progress());
        let after_ms = self.number();
        match self.below(13) {
            11 | 12 => {
                let host = "h".repeat([0, 1, 2, 3, 260, 300][self.below(6) as usize]);
                let trouble = match self.below(3) {
                    0 => HostTrouble::Busy,
                    1 => HostTrouble::Limited,
                    _ => {
                        let gone_after_ms = self.number();
                        HostTrouble::Away { reason: "é".repeat(400), gone_after_ms }
                    }
                };
                Finding::WaitsForHost { progress, host, after_ms, trouble }
            }
            0 => Finding::Completed { file: true, items: self.number() },
            1 => Finding::Completed { file: false, items: self.number() },
            2 | 3 => Finding::Published,
            4 => Finding::Advanced(self.progress()),
            5 => Finding::Limited { progress, after_ms },
            6 => Finding::Gone(GoneReason::NotFound),
            7 => {
                let (reason, retry) = ("é".repeat(400), self.below(2) == 0);
                Finding::Failed { progress, reason, after_ms, retry }
            }
            8 => Finding::HandedBack { progress },
            9 => Finding::InputMissing,
            _ => Finding::Discovered {
                admitted: self.users(),
                discarded: self.users(),
                progress: self.progress(),
            },
        }
    }

    fn report(&self) -> Report {
        let (session, last) = self.session();
        let sequence = if self.below(12) == 0 { self.number() } else { last.saturating_add(1) };
        let finding = |_| {
            let (job, lease) = self.lease();
            (job, lease, self.finding())
        };
        let findings = (0..self.below(8)).map(finding).collect();
        let wants = Wants { total: self.number() as u16, each: [5, self.number() as u16, 5, 5] };
        Report { session, sequence, findings, wants }
    }

    fn app(&self) -> AppName {
        ["one", "two", &"x".repeat(MAX_APP_NAME + 1), ""][self.below(4) as usize].into()
    }

    fn change_of_money(&self) -> Change {
        let (app, crawl) = (self.app(), CrawlId(self.number()));
        match self.below(2) {
            0 => Change::Reserve { app, crawl, least: self.number(), wanted: self.number() },
            _ => {
                let (spent, lost, returned) = (self.number(), self.number(), self.number());
                Change::Settle { app, crawl, spent, lost, returned }
            }
        }
    }

    fn money(&self) -> Mutation {
        let (session, _) = self.session();
        let last = self.money.get(&session).copied().unwrap_or(0);
        let sequence = if self.below(12) == 0 { self.number() } else { last + self.below(2) };
        let terms = || {
            let cycle = match self.below(3) {
                0 => CycleRule::Monthly { day: self.number() as u8 },
                _ => CycleRule::Every { seconds: self.number() },
            };
            AppTerms { limit: self.number(), cycle, margin: self.number() }
        };
        let apps = (0..self.below(4)).map(|_| (self.app(), terms())).collect();
        let dates = (0..self.below(3)).map(|_| (self.app(), self.number())).collect();
        let changes = (0..self.below(8)).map(|_| self.change_of_money()).collect();
        Mutation::Spend { session, report: SpendReport { sequence, apps, dates, changes } }
    }

    fn mutation(&self) -> Mutation {
        let crawl = CrawlId(self.number());
        let request = RequestId { client: self.below(2), sequence: self.below(500) };
        match self.below(64) {
            60..64 => self.money(),
            0..30 => Mutation::Report(self.report()),
            30..33 => Mutation::OpenSession(OpenSession {
                node: self.number(),
                incarnation: match self.below(4) {
                    0 => self.number(),
                    _ => OpenSession::incarnation(self.index, self.number()),
                },
                storage: StorageId(self.number()),
                workers: self.number() as u32,
                shared: self.below(2) == 0,
                adopt: self.below(2) == 0,
            }),
            33..35 => Mutation::EndSession { session: self.session().0, graceful: self.below(2) == 0 },
            35..38 => {
                let operations = ["T", "TFA", "FA", "A", "U", "UFA"][self.below(6) as usize];
                let mut spec = super::spec(operations);
                spec.traversal = [Traversal::Default, Traversal::Bfs, Traversal::Dfs][self.below(3) as usize];
                spec.depth = (self.below(2) == 0).then(|| self.number() as u32);
                spec.priority = self.number() as u8;
                Mutation::CreateCrawl { request, spec }
            }
            38..44 => {
                let (chunk, seeds) = (self.below(4), self.below(6) == 0);
                Mutation::AddTargets { crawl, chunk, users: self.users(), seeds }
            }
            44 => Mutation::SealCrawl { crawl },
            45 => Mutation::PauseCrawl { crawl },
            46 | 47 => Mutation::ResumeCrawl { crawl },
            48 if self.below(4) == 0 => Mutation::CancelCrawl { crawl },
            49 => Mutation::DeleteCrawl { crawl },
            50 | 51 => {
                let user = self.users().pop().filter(|_| self.below(2) == 0);
                Mutation::RetryErrors { request, crawl, user, limit: self.number() as u32 }
            }
            52 => Mutation::Drain { node: self.number(), drained: self.below(3) == 0 },
            53 => Mutation::Lead { node: self.number(), term: self.number() },
            54 => Mutation::KeepEvents { bytes: [0, 50_000][self.below(2) as usize] },
            55 => Mutation::EventsPassed { through: EventId { index: self.number(), place: 3 } },
            // Not beyond what this program supports: it would have to leave such a cluster.
            56 => Mutation::RaiseVersion { to: self.below(1 + u64::from(CLUSTER_VERSION)) as u32 },
            58 => self.money(),
            57 => {
                let write = match self.below(6) {
                    0 => Write::PauseCrawl { crawl },
                    1 => Write::ResumeCrawl { crawl },
                    2 if self.below(4) == 0 => Write::CancelCrawl { crawl },
                    3 => Write::CreateCrawl { request, spec: super::spec("TF") },
                    4 => Write::AddTargets { crawl, chunk: self.below(4), users: self.users(), seeds: false },
                    _ => Write::Drain { node: self.number(), drained: self.below(3) == 0 },
                };
                Mutation::Once { request, write }
            }
            59 => self.shares(),
            _ => Mutation::Tick,
        }
    }

    fn shares(&self) -> Mutation {
        let (session, _) = self.session();
        let event = |_| {
            let (epoch, requests) = (self.number(), self.number() as u32);
            let window = (self.below(3) > 0).then(|| self.number());
            match self.below(6) {
                0 => ShareEvent::Spent { epoch, requests, window },
                1 => ShareEvent::Lost { epoch, requests },
                2 => ShareEvent::Returned { epoch, requests },
                3 => ShareEvent::Unlimited { epoch },
                4 => ShareEvent::Paused { ms: self.number(), refused: self.below(2) == 0 },
                _ => ShareEvent::Seen(WindowSeen {
                    epoch,
                    remaining: self.number(),
                    limit: (self.below(2) == 0).then(|| self.number()),
                    ends_in_ms: self.number(),
                    window,
                }),
            }
        };
        let budget = |_| BudgetReport {
            budget: format!("budget{}", self.below(3)).into(),
            events: (0..self.below(5)).map(event).collect(),
            wanted: self.number() as u32,
        };
        let budgets = (0..self.below(3)).map(budget).collect();
        let report = ShareReport { session, sequence: 1 + self.below(4), budgets };
        let moment = Moment { term: self.number(), process: self.below(3), at: self.number() };
        Mutation::Shares { report, moment }
    }

    /// The cluster reaches the newest version.
    fn raise(&mut self) {
        for to in 2..=CLUSTER_VERSION {
            self.index += 1;
            let mutation = Mutation::RaiseVersion { to };
            let command = Command { now: self.now, limits: Limits::default(), mutation };
            assert_eq!(self.state.apply(self.index, command), Response::Done);
        }
    }

    fn step(&mut self) {
        self.index += 1;
        self.now += self.below(400);
        let mutation = self.mutation();
        let command = Command { now: self.now, limits: Limits::default(), mutation };
        match self.state.apply(self.index, command.clone()) {
            Response::Spent(_) => {
                let Mutation::Spend { session, report } = &command.mutation else { panic!() };
                self.money.insert(*session, report.sequence);
            }
            Response::SessionOpened(opened) => self.sessions.push((opened.session, 0)),
            Response::Report(answer) => {
                let Mutation::Report(report) = &command.mutation else { panic!() };
                let of = self.sessions.iter_mut().find(|(id, _)| *id == report.session);
                of.unwrap().1 = report.sequence;
                self.leases.extend(answer.granted.iter().map(|job| (job.id, job.lease)));
                self.leases.extend(answer.publish.iter().map(|p| (p.job, p.lease)));
            }
            _ => {}
        }
        assert!(self.state.failure().is_none(), "{:?} by {command:?}", self.state.failure());
        if self.below(12) == 0 {
            let frozen = self.state.freeze().unwrap();
            write_checkpoint(&*self.store, frozen, Vec::new()).unwrap();
            drop(self.state.checkpoint_written());
        }
        if self.below(50) == 0 {
            let frozen = self.state.freeze().unwrap();
            write_checkpoint(&*self.store, frozen, Vec::new()).unwrap();
            self.state = State::load(self.store.clone()).unwrap();
        }
    }
}

#[test]
fn no_command_that_can_be_sent_stops_a_replica() {
    let mut granted = 0;
    for seed in 0..40 {
        let mut hostile = Hostile::new(seed);
        if seed % 2 == 0 {
            hostile.raise();
        }
        (0..1_700).for_each(|_| hostile.step());
        granted += hostile.leases.len();
    }
    assert!(granted > 2_000, "only {granted} jobs were granted: nothing much was tried");
}
