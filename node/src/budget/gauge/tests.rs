//! A gauge against a strict server, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use storage::env::{Clock, Entropy, ManualClock, SeededEntropy};

use super::*;
use crate::budget::boot::Timekeeper;
use crate::budget::record::{Kept, Knowledge};
use crate::source::{Delivery, RateInfo};

const MS: Duration = Duration::from_millis(1);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn settings() -> BudgetSettings {
    BudgetSettings { margin: ms(100), default_window: ms(40_000), ..BudgetSettings::default() }
}

fn answer(status: u16, remaining: Option<u64>, reset_in: u64, window: u64) -> RateInfo {
    RateInfo {
        delivery: Delivery::Answered(status),
        limited: status == 429,
        limit: None,
        remaining,
        reset_in: remaining.map(|_| Duration::from_secs(reset_in)),
        window: remaining.map(|_| window),
        retry_after: None,
    }
}

/// A gauge with what is around it, by hand.
struct Hand {
    gauge: Gauge,
    keeper: Timekeeper,
    clock: Arc<ManualClock>,
}

impl Hand {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at_wall(ms(1_000_000)));
        Self { gauge: Gauge::new(), keeper: Timekeeper::new(clock.clone(), None), clock }
    }

    fn ready(&mut self) -> Ready {
        self.gauge.ready(self.clock.monotonic(), None)
    }

    fn write(&mut self) -> Kept {
        let kept = self.gauge.keep(true, self.clock.monotonic(), self.keeper.stamp());
        self.gauge.written(self.gauge.epoch());
        kept
    }

    /// Takes one, writing down as needed.
    fn take(&mut self) -> u32 {
        if self.ready() == Ready::Reserve {
            self.write();
        }
        assert_eq!(self.ready(), Ready::Go);
        self.gauge.take()
    }

    fn settle(&mut self, epoch: u32, rate: &RateInfo) -> bool {
        self.gauge.settle(epoch, rate, self.clock.monotonic(), &settings(), 0.0)
    }
}

#[test]
fn an_unknown_budget_is_probed_once_at_a_time_and_only_after_a_write() {
    let mut hand = Hand::new();
    assert_eq!(hand.ready(), Ready::Reserve);
    hand.gauge.keep(true, Duration::ZERO, hand.keeper.stamp());
    assert_eq!(hand.ready(), Ready::Wait(None), "the write is under way");
    hand.gauge.written(0);
    let probe = hand.take();
    assert_eq!(hand.ready(), Ready::Wait(None));
    hand.settle(probe, &answer(200, Some(14), 100, 1000));
    assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 14);
}

#[test]
fn remaining_zero_on_a_good_answer_waits_for_the_reset_and_its_margin() {
    let mut hand = Hand::new();
    let probe = hand.take();
    assert!(hand.settle(probe, &answer(200, Some(0), 10, 1000)), "the disk has to know");
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(11_100))));
    hand.clock.advance(ms(11_099));
    assert!(matches!(hand.ready(), Ready::Wait(_)));
    hand.clock.advance(MS);
    assert_eq!(hand.ready(), Ready::Reserve);
}

#[test]
fn answers_out_of_order_never_raise_what_is_left() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(10), 100, 1000));
    let taken: Vec<u32> = (0..4).map(|_| hand.take()).collect();
    for remaining in [6, 9, 7, 8] {
        hand.settle(taken[0], &answer(200, Some(remaining), 100, 1000));
        assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 6);
    }
}

#[test]
fn somebody_else_at_the_same_budget_is_noticed() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(100), 100, 1000));
    let (first, _second) = (hand.take(), hand.take());
    assert!(hand.settle(first, &answer(200, Some(50), 100, 1000)), "the disk promised more");
    assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 49, "the second may not be counted yet");
}

#[test]
fn a_source_without_headers_is_unlimited_until_it_refuses() {
    let mut hand = Hand::new();
    let probe = hand.take();
    assert!(!hand.settle(probe, &answer(503, None, 0, 0)));
    assert!(!hand.gauge.is_unlimited(), "a gateway knows nothing");
    let probe = hand.take();
    assert!(hand.settle(probe, &answer(200, None, 0, 0)));
    let taken: Vec<u32> = (0..3).map(|_| hand.take()).collect();
    for epoch in &taken {
        hand.settle(*epoch, &answer(429, None, 0, 0));
    }
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(60_000))), "three at once are one refusal");
    hand.clock.advance(ms(60_000));
    let probe = hand.take();
    assert_eq!(hand.ready(), Ready::Wait(None), "one at a time again");
    hand.settle(probe, &answer(429, None, 0, 0));
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(180_000))), "doubled");
}

#[test]
fn retry_after_is_honoured_on_any_status() {
    let mut hand = Hand::new();
    let probe = hand.take();
    let rate = RateInfo { retry_after: Some(ms(7_000)), ..answer(503, Some(100), 900, 1000) };
    hand.settle(probe, &rate);
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(8_100))));
}

#[test]
fn what_was_not_sent_is_still_there_and_the_address_rests() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(5), 900, 1000));
    for _ in 0..3 {
        let epoch = hand.take();
        hand.settle(epoch, &RateInfo::not_sent());
        assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 5);
        hand.clock.advance(ms(1_000));
    }
    let epoch = hand.take();
    hand.settle(epoch, &RateInfo::not_sent());
    assert!(matches!(hand.ready(), Ready::Wait(Some(_))));
}

#[test]
fn a_restart_believes_the_disk_and_no_more() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(160), 100, 1000));
    let kept = hand.write();
    assert!(matches!(kept.knowledge, Knowledge::Window { left: 150, .. }), "{kept:?}");
    for _ in 0..10 {
        assert_eq!(hand.ready(), Ready::Go);
        hand.gauge.take();
    }
    assert_eq!(hand.ready(), Ready::Reserve);
    let mut again = Gauge::restore(&kept, ms(40_000), ms(5), &settings());
    assert_eq!(again.remaining(ms(5)), Some((150, ms(61_100))));
    assert_eq!(again.ready(ms(61_105), None), Ready::Reserve, "the window has ended");
}

#[test]
fn a_lost_probe_of_a_known_limit_is_held_against_it() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &RateInfo { limit: Some(1), ..answer(200, Some(0), 10, 1000) });
    hand.clock.advance(ms(11_100));
    assert_eq!(hand.ready(), Ready::Reserve);
    let kept = hand.write();
    let mut again = Gauge::restore(&kept, Duration::ZERO, Duration::ZERO, &settings());
    assert!(
        matches!(again.ready(Duration::ZERO, None), Ready::Wait(Some(_))),
        "it may have been the only one"
    );
}

/// What happens in the simulation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive { process: u32, epoch: u32, answered: bool },
    Answered { process: u32, epoch: u32, remaining: u64, limit: u64, reset: u64, date: u64, good: bool },
    TimedOut { process: u32, epoch: u32 },
    Refused { process: u32, epoch: u32 },
    Written { process: u32, write: usize },
    Work,
    Crash,
}

/// A server with strict windows, a process with one gauge that dies now and then, and a disk between its lives.
struct World {
    random: SeededEntropy,
    clock: Arc<ManualClock>,
    keeper: Timekeeper,
    events: BinaryHeap<Reverse<(Duration, usize, Event)>>,
    events_made: usize,
    gauge: Gauge,
    process: u32,
    disk: Option<Kept>,
    writes: Vec<(Kept, Option<u32>)>,
    written: usize,
    disk_free_at: Duration,
    limit: u64,
    window: Duration,
    aligned: bool,
    faults: f64,
    window_ends: Duration,
    counted: u64,
    served: u64,
    violations: u64,
}

impl World {
    fn new(seed: u64, faults: f64) -> Self {
        let random = SeededEntropy::new(seed);
        let clock = Arc::new(ManualClock::at_wall(ms(1_700_000_000_000 + random.next_u64() % 1000)));
        let keeper = Timekeeper::new(clock.clone(), None);
        let limit = [1, 2, 5, 15, 180, 900][random.next_u64() as usize % 6];
        let window = ms(3_000 + random.next_u64() % 30_000);
        let aligned = random.next_u64() % 2 == 0;
        Self {
            random,
            clock,
            keeper,
            limit,
            window,
            aligned,
            faults,
            events: BinaryHeap::new(),
            events_made: 0,
            gauge: Gauge::new(),
            process: 0,
            disk: None,
            writes: Vec::new(),
            written: 0,
            disk_free_at: Duration::ZERO,
            window_ends: Duration::ZERO,
            counted: 0,
            served: 0,
            violations: 0,
        }
    }

    fn at(&mut self, wait: Duration, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((self.clock.monotonic() + wait, self.events_made, event)));
    }

    fn upto(&self, most: u64) -> Duration {
        ms(self.random.next_u64() % most)
    }

    fn chance(&self, of: f64) -> bool {
        self.random.next_unit() < of
    }

    fn write(&mut self, reserving: bool) {
        let now = self.clock.monotonic();
        let kept = self.gauge.keep(reserving, now, self.keeper.stamp());
        self.writes.push((kept, reserving.then(|| self.gauge.epoch())));
        self.disk_free_at = self.disk_free_at.max(now) + self.upto(15);
        let (wait, process, write) = (self.disk_free_at - now, self.process, self.writes.len() - 1);
        self.at(wait, Event::Written { process, write });
    }

    /// Workers take what they can get.
    fn work(&mut self) {
        loop {
            match self.gauge.ready(self.clock.monotonic(), None) {
                Ready::Go => {}
                Ready::Reserve => return self.write(true),
                Ready::Wait(_) => return,
            }
            let (process, epoch) = (self.process, self.gauge.take());
            if self.gauge.runs_low() {
                self.write(true);
            }
            // The first contact is the one exception from the promise: see the module's description.
            let faults = if self.gauge.limit().is_some() { self.faults } else { 0.0 };
            if self.chance(faults) {
                let wait = self.upto(50);
                self.at(wait, Event::Refused { process, epoch });
                continue;
            }
            let answered = !self.chance(faults);
            // Some get stuck on their way for as long as a client waits.
            let wait = if self.chance(faults) { self.upto(1_900) } else { self.upto(200) };
            self.at(wait, Event::Arrive { process, epoch, answered });
            if !answered {
                self.at(ms(2_000), Event::TimedOut { process, epoch });
            }
            if self.chance(0.3) {
                return;
            }
        }
    }

    fn arrive(&mut self, process: u32, epoch: u32, answered: bool) {
        let now = self.clock.wall();
        if now >= self.window_ends {
            let length = self.window.as_millis() as u64;
            let aligned = ms((now.as_millis() as u64 / length + 1) * length);
            self.window_ends = if self.aligned { aligned } else { now + self.window };
            self.counted = 0;
        }
        let good = self.counted < self.limit;
        self.counted += u64::from(good);
        self.served += u64::from(good);
        self.violations += u64::from(!good);
        if answered {
            let (reset, date, limit) = (self.window_ends.as_secs(), now.as_secs(), self.limit);
            let remaining = self.limit - self.counted;
            let wait = self.upto(400);
            self.at(wait, Event::Answered { process, epoch, remaining, limit, reset, date, good });
        }
    }

    fn crash(&mut self) {
        // Of the writes under way, some made it.
        for write in std::mem::take(&mut self.writes).split_off(std::mem::take(&mut self.written)) {
            if self.chance(0.5) {
                break;
            }
            self.disk = Some(write.0);
        }
        self.process += 1;
        let now = self.clock.monotonic();
        self.gauge = match &self.disk {
            Some(kept) => Gauge::restore(kept, self.keeper.since(kept.at), now, &settings()),
            None => Gauge::new(),
        };
    }

    fn settle(&mut self, process: u32, epoch: u32, rate: &RateInfo) {
        if process != self.process {
            return;
        }
        let persist = self.gauge.settle(epoch, rate, self.clock.monotonic(), &settings(), 0.5);
        if self.gauge.runs_low() || persist {
            self.write(self.gauge.runs_low());
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Work => {
                self.work();
                let wait = ms(1) + self.upto(100);
                self.at(wait, Event::Work);
            }
            Event::Crash => {
                self.crash();
                let wait = self.upto(20_000);
                self.at(wait, Event::Crash);
            }
            Event::Arrive { process, epoch, answered } => self.arrive(process, epoch, answered),
            Event::Written { process, write } if process == self.process => {
                let (kept, epoch) = self.writes[write].clone();
                self.disk = Some(kept);
                self.written = write + 1;
                if let Some(epoch) = epoch {
                    self.gauge.written(epoch);
                }
            }
            Event::Written { .. } => {}
            Event::TimedOut { process, epoch } => self.settle(process, epoch, &RateInfo::unanswered()),
            Event::Refused { process, epoch } => self.settle(process, epoch, &RateInfo::not_sent()),
            Event::Answered { process, epoch, remaining, limit, reset, date, good } => {
                let status = if good { 200 } else { 429 };
                let rate = answer(status, Some(remaining), reset.saturating_sub(date), reset);
                self.settle(process, epoch, &RateInfo { limit: Some(limit), ..rate });
            }
        }
    }

    fn run(&mut self, length: Duration) {
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            let now = self.clock.monotonic();
            if now > length {
                return;
            }
            self.clock.advance(time.saturating_sub(now));
            self.step(event);
        }
    }
}

#[test]
fn no_server_sees_a_request_too_many() {
    for seed in 0..1500 {
        let mut world = World::new(seed, [0.0, 0.02, 0.2][seed as usize % 3]);
        world.at(Duration::ZERO, Event::Work);
        world.at(ms(3_000), Event::Crash);
        world.run(ms(180_000));
        let World { limit, window, served, violations, .. } = world;
        assert_eq!(violations, 0, "seed {seed}: limit {limit} in {window:?}, served {served}");
        assert!(served > 0, "seed {seed}");
    }
}

#[test]
fn a_process_that_lives_uses_its_budget() {
    for seed in 0..60 {
        let mut world = World::new(seed, 0.0);
        world.at(Duration::ZERO, Event::Work);
        world.run(ms(300_000));
        assert_eq!(world.violations, 0, "seed {seed}");
        // A window is lost at most to the margin, to the probe's way and, aligned, to the first one's beginning.
        let cycle = world.window + ms(1_100 + 1_000);
        let windows = 300_000 / cycle.as_millis() as u64;
        let rate_bound = 300_000 / 100;
        let (least, served) = ((windows.saturating_sub(1) * world.limit).min(rate_bound), world.served);
        let share = if world.aligned { 2 } else { 1 };
        assert!(
            served * share >= least,
            "seed {seed}: {served} of {least}, limit {} in {:?}",
            world.limit,
            world.window
        );
    }
}
