//! Random histories of nodes, leaders and a server that counts: it never sees a request too many, and sees nearly all
//! that it allows.
//!
//! Clocks of nodes run at different speeds, leaders change and their clocks show anything, reports and answers are late
//! or lost, requests are late or get no answer, processes are killed, cut off, or frozen between taking a request and
//! sending it, and windows turn.

use std::collections::BTreeMap;

use storage::env::{Entropy, SeededEntropy};

use super::*;

const BUDGET: &str = "token";
/// A session that is silent for so long ends, ms.
const TTL: u64 = 3_000;
/// Requests that a node has under way at most.
const WORKERS: u32 = 6;

struct Process {
    session: SessionId,
    share: Share,
    sequence: u64,
    under_way: Option<Report>,
    /// Neither reports nor answers pass.
    cut_until: u64,
    frozen_until: u64,
    /// It has nothing to send.
    idle_until: u64,
    /// Its clock runs so fast, in thousandths.
    speed: u64,
    last_heard: u64,
    ended: bool,
    asked: u64,
}

struct Report {
    news: News,
    wanted: u32,
    sent: u64,
    attempt: u64,
}

/// A request on its way to the server, or its answer on the way back.
struct Sent {
    session: SessionId,
    taken: Taken,
    at: u64,
    answered: bool,
    /// Requests left, and the end of the window, once the server has counted it.
    told: Option<(u64, u64, u64)>,
}

struct World {
    dice: SeededEntropy,
    faults: u64,
    now: u64,
    shares: Shares,
    /// Reports on their way, with when they arrive.
    reports: Vec<(u64, usize, ShareReport)>,
    answers: Vec<(u64, usize, SessionId, u64, Option<ShareAnswer>)>,
    live: BTreeMap<SessionId, usize>,
    processes: Vec<Process>,
    sent: Vec<Sent>,
    next_session: u64,
    leader: Moment,
    earlier: Option<Moment>,
    limit: u64,
    window: u64,
    aligned: bool,
    window_ends: u64,
    counted: u64,
    limit_known: bool,
    /// What each window counted.
    windows: Vec<u64>,
    violations: u64,
    entries: u64,
    kills: u64,
    /// One process is killed in each window.
    kills_each_window: bool,
}

impl World {
    fn new(seed: u64, nodes: usize, faults: u64) -> Self {
        let dice = SeededEntropy::new(seed);
        let limit = [4, 10, 33, 100, 300][dice.next_u64() as usize % 5];
        let window = 3_000 + dice.next_u64() % 30_000;
        let aligned = dice.next_u64() % 2 == 0;
        let mut world = Self {
            dice,
            faults,
            now: 1_000_000,
            shares: Shares::default(),
            reports: Vec::new(),
            answers: Vec::new(),
            live: BTreeMap::new(),
            processes: Vec::new(),
            sent: Vec::new(),
            next_session: 0,
            leader: Moment { term: 1, process: 1, at: 77 },
            earlier: None,
            limit,
            window,
            aligned,
            window_ends: 0,
            counted: 0,
            limit_known: false,
            windows: Vec::new(),
            violations: 0,
            entries: 0,
            kills: 0,
            kills_each_window: false,
        };
        for at in 0..nodes {
            let process = world.begin(at);
            world.processes.push(process);
        }
        world
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound.max(1)
    }

    /// A fault of which one in `n` things would suffer if faults were at 1.
    fn one_in(&self, n: u64) -> bool {
        self.faults > 0 && self.below(n / self.faults) == 0
    }

    fn begin(&mut self, at: usize) -> Process {
        self.next_session += 1;
        let session = SessionId(self.next_session);
        self.live.insert(session, at);
        Process {
            session,
            share: Share::new(),
            sequence: 0,
            under_way: None,
            cut_until: 0,
            frozen_until: 0,
            idle_until: 0,
            speed: 997 + self.below(7),
            last_heard: self.now,
            ended: false,
            asked: 0,
        }
    }

    /// The time by a process's clock.
    fn clock(&self, at: usize) -> u64 {
        self.now * self.processes[at].speed / 1_000
    }

    fn end(&mut self, session: SessionId) {
        self.live.remove(&session);
        self.shares.end_session(session);
        if let Some(process) = self.processes.iter_mut().find(|process| process.session == session) {
            process.ended = true;
        }
    }

    fn step(&mut self) {
        let passed = 1 + self.below(12);
        self.now += passed;
        self.leader.at += passed;
        self.lead();
        for session in self.live.keys().copied().collect::<Vec<_>>() {
            let silent = self.processes.iter().all(|p| p.session != session || p.last_heard + TTL < self.now);
            if silent && self.below(10) == 0 {
                self.end(session);
            }
        }
        self.deliver();
        self.serve();
        let at = self.below(self.processes.len() as u64) as usize;
        if self.limit_known && self.processes[at].idle_until <= self.now {
            if self.one_in(9_000) {
                self.kill(at);
            }
            if self.one_in(9_000) {
                self.freeze(at);
            }
            if self.one_in(9_000) {
                self.processes[at].cut_until = self.now + self.below(9_000);
            }
        }
        if self.processes[at].frozen_until <= self.now {
            self.work(at);
            self.talk(at);
        }
        self.shares.check().unwrap();
    }

    /// Leaders change, and one that was deposed may have stamped a command that its successor's follow.
    fn lead(&mut self) {
        if !self.one_in(5_000) {
            return;
        }
        let at = match self.below(3) {
            0 => self.leader.at + self.below(10_000_000),
            _ => self.below(10_000_000),
        };
        self.earlier = Some(self.leader);
        self.leader = Moment { term: self.leader.term + 1, process: self.below(3), at };
    }

    fn kill(&mut self, at: usize) {
        let session = self.processes[at].session;
        self.kills += 1;
        if self.below(2) == 0 {
            self.end(session);
        }
        // Otherwise it ends when it has been silent.
        self.processes[at] = self.begin(at);
    }

    /// It has nothing to send for a while, and wakes with an old share and without a connection by which it would learn
    /// that its session is over.
    fn fall_asleep(&mut self, at: usize) {
        let until = self.now + 75_000 + self.below(50_000);
        self.processes[at].cut_until = until;
        self.processes[at].idle_until = until - self.below(3_000);
    }

    /// It takes what it can and sends it when it wakes.
    fn freeze(&mut self, at: usize) {
        let until = self.now + self.below(20_000);
        let now = self.clock(at);
        while self.processes[at].share.ready(now) > 0 && self.processes[at].share.in_flight() < WORKERS {
            self.take(at, until - self.now);
        }
        self.processes[at].frozen_until = until;
    }

    fn take(&mut self, at: usize, later: u64) {
        let (faults, delay) = (self.limit_known, self.below(150));
        let process = &mut self.processes[at];
        let (taken, session) = (process.share.take(), process.session);
        if faults && self.one_in(300) {
            self.processes[at].share.settle(taken, Outcome::NotSent);
            return;
        }
        let late = if faults && self.one_in(60) { self.below(4_000) } else { 0 };
        let answered = !faults || !self.one_in(60);
        self.sent.push(Sent { session, taken, at: self.now + later + delay + late, answered, told: None });
    }

    fn work(&mut self, at: usize) {
        if self.processes[at].idle_until > self.now {
            return;
        }
        let now = self.clock(at);
        while self.processes[at].share.ready(now) > 0 && self.processes[at].share.in_flight() < WORKERS {
            self.take(at, 0);
            if self.below(3) == 0 {
                return;
            }
        }
    }

    fn talk(&mut self, at: usize) {
        let (real, now, delay) = (self.now, self.clock(at), self.below(30));
        let process = &mut self.processes[at];
        let renew = process.under_way.as_ref().is_some_and(|report| report.attempt + 300 < real);
        if process.under_way.is_none() {
            let hungry = process.share.ready(now) == 0 && process.share.in_flight() < WORKERS;
            let wanted = if hungry { WORKERS - process.share.in_flight() } else { 0 };
            let due = process.share.is_urgent(now) || (hungry && process.asked + 20 < real);
            if !due {
                return;
            }
            process.asked = real;
            process.sequence += 1;
            let news = process.share.take_news(now);
            process.under_way = Some(Report { news, wanted, sent: now, attempt: real });
        } else if !renew {
            return;
        }
        let Some(report) = &mut process.under_way else { return };
        report.attempt = real;
        let budgets = vec![report.news.report(BUDGET, report.wanted, now)];
        let report = ShareReport { session: process.session, sequence: process.sequence, budgets };
        let cut = process.cut_until > real;
        if !cut && !self.one_in(50) {
            self.reports.push((real + delay, at, report));
        }
    }

    /// The leader applies reports that have arrived, and processes get their answers.
    fn deliver(&mut self) {
        for (_, at, report) in self.reports.extract_if(.., |report| report.0 <= self.now).collect::<Vec<_>>()
        {
            let (session, sequence) = (report.session, report.sequence);
            let answer = match self.live.contains_key(&session) {
                true => {
                    let moment =
                        self.earlier.take_if(|_| self.dice.next_u64() % 3 == 0).unwrap_or(self.leader);
                    self.entries += 1;
                    match self.shares.report(&report, moment) {
                        Ok(answer) => answer.budgets.first().copied(),
                        Err(_) => continue,
                    }
                }
                false => None,
            };
            if !self.one_in(50) {
                self.answers.push((self.now + self.below(30), at, session, sequence, answer));
            }
        }
        let due: Vec<_> = self.answers.extract_if(.., |answer| answer.0 <= self.now).collect();
        for (_, at, session, sequence, answer) in due {
            let now = self.now;
            let process = &mut self.processes[at];
            let mine = process.session == session && process.sequence == sequence;
            if !mine || process.cut_until > now || process.frozen_until > now {
                continue;
            }
            let Some(report) = process.under_way.take() else { continue };
            match answer {
                Some(answer) => {
                    process.last_heard = now;
                    self.limit_known |= answer.limit.is_some();
                    process.share.answered(report.sent, &answer);
                    if answer.granted > 0 && self.limit_known && self.one_in(1_500) {
                        self.fall_asleep(at);
                    }
                }
                None => {
                    let share = &mut process.share;
                    share.drop_session();
                    let share = std::mem::take(share);
                    let speed = process.speed;
                    self.processes[at] = Process { share, speed, ..self.begin(at) };
                }
            }
        }
        // A session is kept alive by other reports as well.
        for process in &mut self.processes {
            if process.cut_until <= self.now && process.frozen_until <= self.now && !process.ended {
                process.last_heard = self.now;
            }
        }
    }

    /// Requests arrive, and answers come back.
    fn serve(&mut self) {
        let due: Vec<Sent> = self.sent.extract_if(.., |sent| sent.at <= self.now).collect();
        for mut sent in due {
            let Some((remaining, reset, date)) = sent.told else {
                sent.told = Some(self.count());
                sent.at = self.now + if sent.answered { self.below(300) } else { 6_000 };
                self.sent.push(sent);
                continue;
            };
            // Nobody waits for the answer of a killed one.
            let found = self.processes.iter().position(|process| process.session == sent.session);
            let Some(at) = found else { continue };
            if self.processes[at].frozen_until > self.now {
                sent.at = self.processes[at].frozen_until;
                self.sent.push(sent);
                continue;
            }
            let (now, answered) = (self.clock(at), sent.answered);
            let share = &mut self.processes[at].share;
            if !answered {
                share.settle(sent.taken, Outcome::Lost);
                continue;
            }
            share.settle(sent.taken, Outcome::Answered(Some(reset)));
            let ends = now + reset.saturating_sub(date) * 1_000 + 1_000 + 100;
            share.seen(sent.taken, remaining, Some(self.limit), ends, Some(reset));
        }
    }

    /// The server counts a request.
    fn count(&mut self) -> (u64, u64, u64) {
        if self.now >= self.window_ends {
            self.window_ends = if self.aligned {
                (self.now / self.window + 1) * self.window
            } else {
                self.now + self.window
            };
            self.windows.push(0);
            self.counted = 0;
        }
        if self.counted < self.limit {
            self.counted += 1;
            *self.windows.last_mut().unwrap() += 1;
        } else {
            self.violations += 1;
        }
        if self.kills_each_window && self.counted == self.limit / 2 {
            let at = self.below(self.processes.len() as u64) as usize;
            self.kill(at);
        }
        (self.limit - self.counted, self.window_ends / 1_000, self.now / 1_000)
    }
}

#[test]
fn no_history_of_kills_freezes_losses_and_elections_sends_a_request_too_many() {
    let (mut windows, mut sessions, mut full) = (0, 0, 0);
    for seed in 0..120 {
        let mut world = World::new(seed, 2 + seed as usize % 4, [1, 4, 12][seed as usize % 3]);
        for _ in 0..50_000 {
            world.step();
        }
        let World { limit, window, aligned, .. } = world;
        assert_eq!(world.violations, 0, "seed {seed}: {limit} in {window} ms, aligned {aligned}");
        windows += world.windows.len();
        sessions += world.next_session;
        full += world.windows.iter().filter(|counted| **counted * 10 >= limit * 8).count();
    }
    println!("{windows} windows, {full} nearly full, {sessions} sessions");
    // The histories are worth something.
    assert!(windows > 1_500 && sessions > 2_500 && full > 400, "{windows}, {sessions}, {full}");
}

#[test]
fn five_nodes_of_which_one_is_killed_in_each_window_send_nearly_all_that_is_allowed() {
    let (mut used, mut allowed, mut entries) = (0, 0, 0);
    for seed in 0..6 {
        let mut world = World::new(seed, 5, 0);
        (world.limit, world.window, world.kills_each_window) = (300, 60_000, true);
        for _ in 0..80_000 {
            world.step();
        }
        assert_eq!(world.violations, 0, "seed {seed}");
        let whole = world.windows.len().saturating_sub(2);
        assert!(whole >= 4 && world.kills as usize >= whole, "{whole} windows, {} kills", world.kills);
        used += world.windows.iter().skip(1).take(whole).sum::<u64>();
        allowed += 300 * whole as u64;
        entries += world.entries;
    }
    println!("{used} of {allowed} requests, {entries} reports");
    assert!(used * 100 >= allowed * 95, "{used} of {allowed}");
}

#[test]
fn without_faults_every_request_is_sent() {
    for seed in 0..30 {
        let mut world = World::new(seed, 4, 0);
        for _ in 0..20_000 {
            world.step();
        }
        assert_eq!(world.violations, 0, "seed {seed}");
        let whole = world.windows.len().saturating_sub(2);
        // By each node at most so many in a window.
        let most = world.limit.min(world.window * 4 * u64::from(WORKERS) / 1_000);
        for counted in world.windows.iter().skip(1).take(whole) {
            let World { limit, window, aligned, .. } = world;
            assert!(*counted * 10 >= most * 6, "seed {seed}: {counted} of {limit} in {window} ms, {aligned}");
        }
    }
}
