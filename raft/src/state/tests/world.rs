//! Nodes and operators that act at random, by seed.

use std::collections::BTreeSet;

use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;

use super::model::{Fate, MAX_ATTEMPTS, Model};
use super::money_world::Money;
use super::operators::other_source;
use super::outbox::m1_check_against_counters;
use super::replica::Replica;
use crate::model::*;
use crate::state::shares::Moment;

/// Replicas that apply the same commands, and the model of what they should do.
pub(super) struct World {
    dice: SeededEntropy,
    pub(super) replicas: Vec<Replica>,
    /// Whether replicas are checkpointed and restarted at random.
    restarts: bool,
    pub(super) model: Model,
    index: u64,
    now: u64,
    pub(super) requests: u64,
    /// The last change with a request id, and its answer.
    pub(super) answered: Option<(Mutation, Response)>,
    nodes: Vec<WorldNode>,
    pub(super) money: Money,
    /// Leases granted in the past.
    past: Vec<(JobId, LeaseId)>,
}

struct WorldNode {
    id: NodeId,
    storage: StorageId,
    incarnation: u64,
    session: Option<SessionId>,
    sequence: u64,
    /// Reports on shared budgets.
    share_reports: u64,
    /// The last report and its answer, as long as a repetition would get the same.
    last: Option<(Mutation, ReportAnswer)>,
}

/// Hosts of some accounts, and one whose name is in no account's id.
const HOSTS: [&str; 4] = ["host", "other.host", "away.host", "elsewhere"];
/// No host is ever given up: the model does not know when.
const GONE_AFTER: u64 = 30 * 24 * 3_600_000;

const LIMITS: Limits = Limits { storage_grace_ms: 2_000, session_ttl_ms: 3_000, max_attempts: MAX_ATTEMPTS };

impl World {
    /// The session of the node at this place.
    pub(super) fn session_at(&self, at: usize) -> Option<SessionId> {
        self.nodes[at].session
    }

    /// The world's time, ms.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Nodes 1 and 2 share a storage; nodes 3 and 4 have one each.
    pub(super) fn new(seed: u64, replicas: Vec<Replica>, restarts: bool) -> Self {
        let node = |(id, storage)| WorldNode {
            id,
            storage: StorageId(storage),
            incarnation: 0,
            session: None,
            sequence: 0,
            share_reports: 0,
            last: None,
        };
        let mut world = Self {
            dice: SeededEntropy::new(seed),
            replicas,
            restarts,
            model: Model::default(),
            index: 0,
            now: 0,
            requests: 0,
            answered: None,
            money: Money::default(),
            nodes: [(1, 5), (2, 5), (3, 3), (4, 4)].map(node).into(),
            past: Vec::new(),
        };
        for to in 2..=CLUSTER_VERSION {
            assert_eq!(world.apply(Mutation::RaiseVersion { to }), Response::Done);
        }
        // Room for everything that happens in a run.
        assert_eq!(world.apply(Mutation::KeepEvents { bytes: 1 << 30 }), Response::Done);
        world
    }

    pub(super) fn below(&self, n: u64) -> u64 {
        self.dice.next_u64() % n
    }

    pub(super) fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn user(&self) -> UserId {
        match self.below(60) {
            n @ 0..20 => format!("user{n}@{}", HOSTS[n as usize % 3]).parse().unwrap(),
            n => UserId::Number(n * 1_000_003),
        }
    }

    pub(super) fn users(&self, most: u64) -> Vec<UserId> {
        (0..self.below(most + 1)).map(|_| self.user()).collect()
    }

    /// Applies a command on every replica; all must respond alike.
    pub(super) fn apply(&mut self, mutation: Mutation) -> Response {
        self.index += 1;
        // A new leader's clock may start lower.
        let late = if self.one_in(20) { self.below(500) } else { 0 };
        self.model.clock = self.model.clock.max(self.now.saturating_sub(late));
        let command = Command { now: self.now.saturating_sub(late), limits: LIMITS, mutation };
        let mut responses = Vec::new();
        for at in 0..self.replicas.len() {
            // One replica has an observer and another has none: they must still agree.
            if self.one_in(30) {
                self.replicas[at].state.live_events().look(self.one_in(2));
            }
            responses.push(self.replicas[at].apply(self.index, &command));
            if self.restarts && self.one_in(6) {
                self.replicas[at].go_on_with_checkpoint();
            }
            if self.restarts && self.one_in(25) {
                self.replicas[at].restart();
            }
        }
        assert!(responses.windows(2).all(|r| r[0] == r[1]), "{responses:?} to {command:?}");
        let digest = self.replicas[0].state.digest();
        for other in &self.replicas[1..] {
            let differ = digest.differences(&other.state.digest());
            assert!(differ.is_empty(), "{differ:?} differ after {command:?}");
        }
        responses.swap_remove(0)
    }

    pub(super) fn step(&mut self) {
        self.now += self.below(40);
        match self.below(100) {
            0..60 => self.report(),
            60..66 => self.repeat_report(),
            66..72 => self.open(),
            72..75 => self.end(),
            75..80 => self.submit(),
            80..86 => self.operate(),
            86..88 => self.retry(),
            88..90 => self.drain(),
            90..92 => self.refused_report(),
            92 => self.now += 3_000,
            93 => self.refused_change(),
            94 => self.spend(),
            95 => self.share(),
            96 => {
                self.spend();
                self.share();
            }
            _ => self.tick(),
        }
        self.model.check(&self.replicas[0].state);
    }

    fn tick(&mut self) {
        assert_eq!(self.apply(Mutation::Tick), Response::Done);
        self.model.tick(u64::from(LIMITS.storage_grace_ms));
    }

    fn open(&mut self) {
        let at = self.below(4) as usize;
        let again = self.nodes[at].session.is_some() && self.one_in(2);
        self.open_session(at, again);
    }

    fn open_session(&mut self, at: usize, again: bool) {
        let fresh = OpenSession::incarnation(self.index, 0);
        let incarnation = if again { self.nodes[at].incarnation } else { fresh };
        let node = &mut self.nodes[at];
        node.incarnation = incarnation;
        let (id, storage) = (node.id, node.storage);
        let open = OpenSession { node: id, incarnation, storage, workers: 1, shared: true, adopt: true };
        let Response::SessionOpened(opened) = self.apply(Mutation::OpenSession(open)) else { panic!() };
        let node = &mut self.nodes[at];
        if again {
            assert_eq!(Some(opened.session), node.session, "TWM-S1");
            return;
        }
        if let Some(old) = node.session.replace(opened.session) {
            self.model.end_session(old);
        }
        self.money.session_ended(at);
        (node.sequence, node.share_reports) = (0, 0);
        self.model.open_session(opened.session, id, storage);
        self.forget_answers();
    }

    /// Reports on shared budgets. Which answers are right is the matter of tests of their own; here replicas have to agree.
    fn share(&mut self) {
        let at = self.below(4) as usize;
        let Some(session) = self.nodes[at].session else { return };
        self.nodes[at].share_reports += 1;
        let sequence = self.nodes[at].share_reports;
        let moment = Moment { term: 1 + self.index / 100, process: self.below(2), at: self.now };
        let budget = ["one", "two"][self.below(2) as usize].into();
        let events = (0..self.below(4)).map(|_| self.share_event()).collect();
        let budgets = vec![BudgetReport { budget, events, wanted: self.below(4) as u32 }];
        let report = Mutation::Shares { report: ShareReport { session, sequence, budgets }, moment };
        let Response::Shares(answer) = self.apply(report.clone()) else { panic!() };
        assert_eq!(self.apply(report), Response::Shares(answer), "TWM-S2");
    }

    fn share_event(&self) -> ShareEvent {
        let (epoch, requests) = (1 + self.below(6), 1 + self.below(3) as u32);
        let window = self.one_in(2).then_some(self.now / 300);
        match self.below(6) {
            0 | 1 => ShareEvent::Spent { epoch, requests, window },
            2 => ShareEvent::Lost { epoch, requests },
            3 => ShareEvent::Returned { epoch, requests },
            4 if self.one_in(8) => ShareEvent::Paused { ms: self.below(100), refused: self.one_in(2) },
            _ => {
                let (remaining, limit, ends_in_ms) = (self.below(20), Some(20), 100 + self.below(300));
                ShareEvent::Seen(WindowSeen { epoch, remaining, limit, ends_in_ms, window })
            }
        }
    }

    fn end(&mut self) {
        let at = self.below(4) as usize;
        let Some(session) = self.nodes[at].session.take() else { return };
        let graceful = self.one_in(2);
        assert_eq!(self.apply(Mutation::EndSession { session, graceful }), Response::Done);
        self.model.end_session(session);
        self.money.session_ended(at);
        self.forget_answers();
    }

    /// A repeated report may be answered differently from now on: publications went to others, or a cancelled
    /// crawl's jobs are gone.
    pub(super) fn forget_answers(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.last = None);
    }

    fn report(&mut self) {
        let at = self.below(4) as usize;
        let Some(session) = self.nodes[at].session else { return };
        let mut findings = Vec::new();
        for (key, fate, missed) in self.held_by(session) {
            let (job, lease, finding) = match fate {
                Fate::Publishing(u) if self.one_in(2) => {
                    let lost = self.one_in(5);
                    (u.job, u.lease, if lost { Finding::DraftLost } else { Finding::Published })
                }
                Fate::Leased(job, lease, _) if self.one_in(2) => {
                    (job, lease, self.finding(key, lease, missed))
                }
                _ => continue,
            };
            findings.push((job, lease, finding));
        }
        if !self.past.is_empty() && self.one_in(3) {
            let (job, lease) = self.past[self.below(self.past.len() as u64) as usize];
            // A node does not publish in the report in which it completes.
            if findings.iter().all(|(_, l, _)| *l != lease) {
                findings.push((job, lease, self.finding(self.nodes[at].storage, lease, 9)));
            }
        }
        let mut wants = Wants::any(self.below(4) as u16);
        wants.each[self.below(4) as usize] = self.below(3) as u16;
        self.send(at, findings, wants);
    }

    /// The jobs of a session, with its storage.
    fn held_by(&self, session: SessionId) -> Vec<(StorageId, Fate, u32)> {
        let storage = self.model.sessions[&session].1;
        let is_held = |fate: &Fate| match fate {
            Fate::Leased(_, _, s) => *s == session,
            Fate::Publishing(u) => u.session == Some(session),
            _ => false,
        };
        let held = self.model.accounts.values().filter(|a| is_held(&a.fate));
        held.map(|a| (storage, a.fate, a.missed)).collect()
    }

    fn finding(&self, storage: StorageId, lease: LeaseId, missed: u32) -> Finding {
        let bytes = self.below(1_000);
        let draft =
            self.one_in(2).then_some(DraftProgress { lease, storage, token: bytes, items: 1, based_on: 0 });
        let progress = Progress { cursor: format!("{bytes}"), draft };
        let saved = self.one_in(2).then(|| progress.clone());
        let after_ms = self.below(600);
        match self.below(24) {
            20..24 => {
                let host = HOSTS[self.below(4) as usize].to_owned();
                let trouble = match self.below(3) {
                    0 => HostTrouble::Busy,
                    1 => HostTrouble::Limited,
                    _ => HostTrouble::Away { reason: "timed out".to_owned(), gone_after_ms: GONE_AFTER },
                };
                Finding::WaitsForHost { progress: saved, host, after_ms, trouble }
            }
            0..5 => Finding::Completed { file: true, items: self.below(9) },
            5..8 => Finding::Completed { file: false, items: self.below(9) },
            8 => Finding::Published,
            9..11 => Finding::Advanced(progress),
            11..13 => Finding::Limited { progress: saved, after_ms },
            13 => Finding::Gone(GoneReason::Protected),
            14..16 => {
                Finding::Failed { progress: saved, reason: "x".into(), after_ms, retry: !self.one_in(4) }
            }
            16 => Finding::HandedBack { progress: saved },
            // Once more, and the job would fail because its input was made too often.
            17 if missed < LIMITS.max_attempts => Finding::InputMissing,
            _ => Finding::Discovered { admitted: self.users(3), discarded: self.users(2), progress },
        }
    }

    fn send(&mut self, at: usize, findings: Vec<(JobId, LeaseId, Finding)>, wants: Wants) {
        let node = &mut self.nodes[at];
        let session = node.session.unwrap();
        node.sequence += 1;
        let report = Report { session, sequence: node.sequence, findings, wants };
        let others = match self.one_in(3) {
            true => Vec::new(),
            false => vec![SourceWants { source: other_source(), each: wants.each }],
        };
        let wanted: Vec<_> = others.iter().map(|other| other.source.clone()).collect();
        let mutation = match others.is_empty() {
            true => Mutation::Report(report.clone()),
            false => Mutation::ReportOf { report: report.clone(), others },
        };
        let Response::Report(answer) = self.apply(mutation.clone()) else { panic!() };
        let found = |(job, lease, finding): &(JobId, LeaseId, Finding)| {
            (!self.model.find(session, *job, *lease, finding)).then_some(*lease)
        };
        let mut stale: Vec<LeaseId> = report.findings.iter().filter_map(found).collect();
        let mut answered = answer.stale.clone();
        stale.sort_unstable();
        answered.sort_unstable();
        assert_eq!(answered, stale, "TWM-L2");
        assert!(answer.granted.len() <= usize::from(wants.total));
        for job in &answer.granted {
            assert!(job.source.is_default() || wanted.contains(&job.source), "of another source: {job:?}");
            self.model.grant(job, session);
            self.past.push((job.id, job.lease));
        }
        self.check_publications(session, &report, &answer);
        self.nodes[at].last = Some((mutation, answer));
    }

    /// TWM-P1: what this report completed and what the session adopted, until it is confirmed.
    fn check_publications(&self, session: SessionId, report: &Report, answer: &ReportAnswer) {
        let completed = |lease: LeaseId| {
            let mut findings = report.findings.iter().filter(|(_, l, _)| *l == lease);
            findings.any(|(_, _, f)| matches!(f, Finding::Completed { file: true, .. }))
        };
        let fates = self.held_by(session).into_iter().map(|(_, fate, _)| fate);
        let expected: BTreeSet<LeaseId> = fates
            .filter_map(|fate| match fate {
                Fate::Publishing(u) => (u.left || completed(u.lease)).then_some(u.lease),
                _ => None,
            })
            .collect();
        let told: BTreeSet<LeaseId> = answer.publish.iter().map(|p| p.lease).collect();
        assert_eq!(told, expected, "TWM-P1");
    }

    fn repeat_report(&mut self) {
        let at = self.below(4) as usize;
        let Some((report, answer)) = self.nodes[at].last.clone() else { return };
        // What the passing of time does is not the report's: a job is let out to a host.
        self.tick();
        let before = self.replicas[0].state.crawls();
        assert_eq!(self.apply(report), Response::Report(answer), "TWM-S2");
        let counters = |views: Vec<CrawlView>| views.into_iter().map(|v| v.counters).collect::<Vec<_>>();
        assert_eq!(counters(self.replicas[0].state.crawls()), counters(before), "TWM-S2");
    }

    fn refused_report(&mut self) {
        let at = self.below(4) as usize;
        let findings =
            self.past.last().map(|&(job, lease)| (job, lease, Finding::Gone(GoneReason::NotFound)));
        let findings = findings.into_iter().collect();
        let (session, sequence) = match self.nodes[at].session {
            Some(session) => (session, self.nodes[at].sequence + 2 + self.below(3)),
            None => (SessionId(self.below(self.index + 1) * 1_000_000), 1),
        };
        let report = Report { session, sequence, findings, wants: Wants::any(3) };
        assert!(matches!(self.apply(Mutation::Report(report)), Response::Refused(_)));
    }

    /// Finishes everything; asserts that it does finish, and that each account ended once.
    pub(super) fn finish(&mut self) {
        (1..=4).for_each(|node| self.set_drained(node, false));
        let crawls: Vec<CrawlId> = self.model.crawls.keys().copied().collect();
        for &crawl in &crawls {
            self.change(crawl, Mutation::ResumeCrawl { crawl }, |c| c.paused = false);
            self.change(crawl, Mutation::SealCrawl { crawl }, |c| c.sealed = true);
        }
        (0..4).filter(|&at| self.nodes[at].session.is_none()).collect::<Vec<_>>().into_iter().for_each(
            |at| {
                self.open_session(at, false);
            },
        );
        for round in 0..400 {
            let publishes = |a: &super::model::ModelAccount| matches!(a.fate, Fate::Publishing(_));
            if crawls.iter().all(|&c| self.model.phase(c).is_over() && !self.model.of(c).any(publishes)) {
                break;
            }
            // A host that was away often rests for long.
            self.now += if round < 200 { 500 } else { 10_000 };
            self.tick();
            (0..4).for_each(|at| self.work(at));
        }
        let state = &self.replicas[0].state;
        self.model.check(state);
        self.model.check_lists(state);
        m1_check_against_counters(state);
        assert!(crawls.iter().all(|&c| self.model.phase(c).is_over()), "something never ends");
        assert_eq!((state.sizes().jobs, state.writers.len()), (0, 0));
        self.replicas.windows(2).for_each(|pair| pair[0].assert_same(&pair[1]));
    }

    /// A node does all of its jobs, and takes more.
    fn work(&mut self, at: usize) {
        let session = self.nodes[at].session.unwrap();
        let finding = |(_, fate, _)| match fate {
            Fate::Publishing(u) => Some((u.job, u.lease, Finding::Published)),
            Fate::Leased(job, lease, _) => Some((job, lease, Finding::Completed { file: true, items: 1 })),
            _ => None,
        };
        let findings = self.held_by(session).into_iter().filter_map(finding).collect();
        self.send(at, findings, Wants::any(50));
    }
}
