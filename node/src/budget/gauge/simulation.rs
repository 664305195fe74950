//! A gauge against a strict server in simulated time, with a process that may die at any moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use storage::env::{Clock, Entropy, ManualClock, SeededEntropy};

use super::tests::{answer, ms, settings};
use super::*;
use crate::budget::boot::Timekeeper;
use crate::budget::record::Kept;
use crate::rate::RateInfo;

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

/// A server with strict windows, a process with one gauge that dies at times, and a disk that outlives it.
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
            // Some are delayed for as long as a client waits.
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
        // Some of the writes in flight reached the disk.
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
        // A window loses at most the margin, the round trip of the probe and, if aligned, the start of the first one.
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
