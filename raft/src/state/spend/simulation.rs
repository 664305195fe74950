//! Random histories of sessions, a network that bills, and a connection that loses: what is billed is never more than
//! a limit, in any cycle and for any crawl.
//!
//! The network's hosts disagree about the time, requests are processed late and after their session has ended, answers
//! and reports are lost, sessions are killed, frozen for long and wake, and cycles turn.

use storage::env::{Entropy, SeededEntropy};

use super::tests::terms;
use super::*;

const CYCLE: u64 = 3600;
/// Reached early in a cycle, late, or hardly.
const LIMITS: [u64; 4] = [3000, 10_000, 30_000, 60_000];
/// Two crawls share two cycles, then come two others.
const CRAWL_LIMIT: u64 = 2500;
/// Hosts' clocks differ by at most this, s, either way.
const SKEW: u64 = 60;
/// A request is processed or dropped this long after it was sent, s.
const LATEST: u64 = 60;

/// A request: who sent it, and what the network will do with it.
struct Sent {
    session: u64,
    crawl: CrawlId,
    taken: Taken,
    worst: u64,
    /// When the process sends it: a frozen one does so when it wakes.
    sent: u64,
}

struct Process {
    session: u64,
    shares: BTreeMap<CrawlId, Share>,
    sequence: u64,
    unanswered: Option<SpendReport>,
    latest: u64,
    frozen_until: u64,
    /// Its session has ended, which it does not know yet.
    ended: bool,
    /// When a request that has no answer yet was sent.
    waiting: BTreeMap<(CrawlId, Taken), u64>,
}

struct World {
    dice: SeededEntropy,
    spend: Spend,
    now: u64,
    processes: Vec<Process>,
    sent: Vec<Sent>,
    billed: BTreeMap<u64, u64>,
    billed_crawls: BTreeMap<CrawlId, u64>,
    next_session: u64,
    faults: bool,
    limit: u64,
    crawl_limit: Option<u64>,
}

impl Process {
    fn new(session: u64) -> Self {
        let (shares, waiting) = (BTreeMap::new(), BTreeMap::new());
        let (sequence, unanswered, latest, frozen_until) = (0, None, 0, 0);
        Self { session, shares, sequence, unanswered, latest, frozen_until, ended: false, waiting }
    }
}

impl World {
    fn new(seed: u64, faults: bool) -> Self {
        let mut spend = Spend::default();
        let limit = LIMITS[(seed % 4) as usize];
        spend.set_app("one", terms(limit)).unwrap();
        let mut world = Self {
            dice: SeededEntropy::new(seed),
            spend,
            now: 100 * CYCLE + 1000,
            processes: Vec::new(),
            sent: Vec::new(),
            billed: BTreeMap::new(),
            billed_crawls: BTreeMap::new(),
            next_session: 1,
            faults,
            limit,
            crawl_limit: (seed % 8 < 4).then_some(CRAWL_LIMIT),
        };
        for _ in 0..3 {
            let process = world.begin();
            world.processes.push(process);
        }
        world
    }

    fn begin(&mut self) -> Process {
        let session = self.next_session;
        self.next_session += 1;
        self.spend.open_session(SessionId(session)).unwrap();
        Process::new(session)
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn crawl(&mut self) -> CrawlId {
        let crawl = CrawlId(2 * (self.now / (2 * CYCLE)) + self.below(2));
        if !self.spend.has_crawl(crawl) {
            self.spend.set_crawl(crawl, self.crawl_limit).unwrap();
        }
        crawl
    }

    fn one_in(&self, n: u64) -> bool {
        self.faults && self.below(n) == 0
    }

    /// The time by one of the network's hosts.
    fn host_time(&self) -> u64 {
        self.now - SKEW + self.below(2 * SKEW + 1)
    }

    fn step(&mut self) {
        self.now += self.below(4);
        let at = self.below(self.processes.len() as u64) as usize;
        if self.one_in(400) {
            self.kill(at);
        } else if self.one_in(400) {
            self.freeze(at);
        }
        if self.processes[at].frozen_until <= self.now {
            match self.below(20) {
                0..=6 => self.send(at),
                7..=12 => self.give_up_waiting(at),
                // Without a request there is no date: who waits asks for it.
                13 => self.processes[at].latest = self.processes[at].latest.max(self.host_time()),
                _ => self.report(at),
            }
        }
        self.process();
        self.spend.check().unwrap();
        self.check_bills();
    }

    /// The process is gone at once; the cluster ends its session at once or later.
    fn kill(&mut self, at: usize) {
        let session = self.processes[at].session;
        self.spend.end_session(SessionId(session));
        self.processes[at] = self.begin();
    }

    /// Frozen for up to half a cycle, in the middle of requests that it will send when it wakes. Its session ends.
    fn freeze(&mut self, at: usize) {
        for _ in 0..3 {
            self.send(at);
        }
        let (until, session) = (self.now + self.below(CYCLE / 2), self.processes[at].session);
        self.processes[at].frozen_until = until;
        self.sent
            .iter_mut()
            .filter(|one| one.session == session)
            .for_each(|one| one.sent = one.sent.max(until));
        if self.below(2) == 0 {
            self.spend.end_session(SessionId(session));
            self.processes[at].ended = true;
        }
    }

    fn send(&mut self, at: usize) {
        let crawl = self.crawl();
        let worst = 10 * (1 + self.below(10));
        let (now, process) = (self.now, &mut self.processes[at]);
        let share = process.shares.entry(crawl).or_default();
        // Near a limit the page gets smaller.
        let worst = worst.min(share.free() / 10 * 10);
        if worst == 0 {
            return;
        }
        let Some(taken) = share.take(worst) else { return };
        process.waiting.insert((crawl, taken), now);
        self.sent.push(Sent { session: process.session, crawl, taken, worst, sent: now });
    }

    /// The network takes one of the requests that have arrived, in any order, bills it, and answers or does not.
    fn process(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.below(self.sent.len() as u64) as usize;
        if self.sent[at].sent > self.now {
            return;
        }
        let request = self.sent.swap_remove(at);
        if self.now > request.sent + LATEST || self.one_in(20) {
            return; // It never arrived.
        }
        let cost = if self.below(3) == 0 { self.below(request.worst + 1) } else { request.worst };
        *self.billed.entry(self.host_time() / CYCLE).or_default() += cost;
        *self.billed_crawls.entry(request.crawl).or_default() += cost;
        if self.one_in(10) {
            return; // The answer is lost.
        }
        let date = self.host_time();
        let found = self.processes.iter_mut().find(|process| process.session == request.session);
        let Some(process) = found.filter(|process| process.frozen_until <= self.now) else { return };
        if process.waiting.remove(&(request.crawl, request.taken)).is_some() {
            process.latest = process.latest.max(date);
            process.shares.entry(request.crawl).or_default().answered(request.taken, cost);
        }
    }

    fn give_up_waiting(&mut self, at: usize) {
        let (now, process) = (self.now, &mut self.processes[at]);
        let late = process.waiting.iter().find(|(_, sent)| now > **sent + LATEST / 2).map(|(key, _)| *key);
        if let Some((crawl, taken)) = late {
            process.waiting.remove(&(crawl, taken));
            process.shares.entry(crawl).or_default().unanswered(taken);
        }
    }

    fn report(&mut self, at: usize) {
        let (crawl, give_back) = (self.crawl(), self.below(5) == 0);
        let wanted = 10 * (1 + self.below(40));
        let process = &mut self.processes[at];
        if process.unanswered.is_none() {
            process.sequence += 1;
            let app: AppName = "one".into();
            let mut changes = Vec::new();
            for (crawl, share) in &mut process.shares {
                if give_back {
                    share.give_back(50);
                }
                changes.extend(share.settlement(&app, *crawl));
            }
            if process.shares.get(&crawl).is_none_or(|share| share.free() < 100) {
                changes.push(Change::Reserve { app: app.clone(), crawl, least: 10, wanted });
            }
            let dates = vec![(app, process.latest)];
            process.unanswered =
                Some(SpendReport { sequence: process.sequence, apps: Vec::new(), dates, changes });
        }
        let Some(report) = process.unanswered.clone() else { return };
        if self.one_in(10) {
            return; // The report is lost.
        }
        let session = self.processes[at].session;
        let answer = self.spend.report(SessionId(session), &report);
        if self.one_in(10) {
            return; // Its answer is lost: it is sent again.
        }
        match answer {
            Ok(reported) => self.take_grants(at, &report, &reported),
            Err(SpendRefusal::NoSession(_)) => {
                assert!(self.processes[at].ended);
                self.processes[at] = self.begin();
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn take_grants(&mut self, at: usize, report: &SpendReport, reported: &SpendAnswer) {
        let process = &mut self.processes[at];
        process.unanswered = None;
        for (change, outcome) in report.changes.iter().zip(&reported.outcomes) {
            match (change, outcome) {
                (Change::Reserve { crawl, .. }, Outcome::Granted { amount }) => {
                    process.shares.entry(*crawl).or_default().granted(*amount);
                }
                (Change::Settle { .. }, Outcome::Settled { excess }) => assert_eq!(*excess, 0),
                (Change::Reserve { .. }, Outcome::Wait { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn check_bills(&self) {
        for (cycle, billed) in &self.billed {
            assert!(*billed <= self.limit, "cycle {cycle}: {billed} of {} were billed", self.limit);
        }
        for (crawl, billed) in &self.billed_crawls {
            let limit = self.crawl_limit.unwrap_or(u64::MAX);
            assert!(*billed <= limit, "crawl {crawl}: {billed} of {limit} were billed");
        }
    }
}

#[test]
fn no_history_of_kills_losses_freezes_and_turns_bills_more_than_a_limit() {
    let (mut cycles, mut sessions, mut nearly) = (0, 0, 0);
    for seed in 0..60 {
        let mut world = World::new(seed, true);
        for _ in 0..15_000 {
            world.step();
        }
        cycles += world.billed.len();
        sessions += world.next_session;
        nearly += world.billed.values().filter(|billed| **billed > world.limit / 2).count();
    }
    // The histories are worth something.
    assert!(cycles > 300 && sessions > 1500 && nearly > 60, "{cycles} cycles, {sessions} sessions, {nearly}");
}

#[test]
fn without_faults_nearly_the_whole_limit_is_spent_in_each_cycle() {
    // Without a limit for crawls, and with limits that can be reached.
    for seed in [4, 5, 12, 13, 20, 21, 28, 29] {
        let mut world = World::new(seed, false);
        for _ in 0..10_000 {
            world.step();
        }
        let whole = world.billed.len().saturating_sub(2);
        assert!(whole >= 3, "{whole} whole cycles");
        for (cycle, billed) in world.billed.iter().skip(1).take(whole) {
            let limit = world.limit;
            assert!(*billed * 100 >= limit * 85, "seed {seed}, cycle {cycle}: only {billed} of {limit}");
        }
    }
}
