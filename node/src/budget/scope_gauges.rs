//! The gauges of one scope, one for each address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::gauge::{Gauge, Ready};
use super::journal::Remembered;
use super::record::Key;
use super::settings::BudgetSettings;
use crate::rate::{BudgetScope, Per};

/// Among thousands of free addresses it is enough to compare a few.
const ENOUGH_CHOICE: usize = 16;

/// A scope that nobody has asked for in this time may be forgotten.
const UNUSED: Duration = Duration::from_secs(600);

/// Which gauge a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Go(usize),
    Wait(Option<Duration>),
}

/// The gauges of one scope.
pub(super) struct ScopeGauges {
    pub(super) scope: BudgetScope,
    pub(super) gauges: Vec<Gauge>,
    /// Notified, one waiter at a time, whenever a request may be sent that could not be before.
    pub(super) changed: Arc<Notify>,
    turn: usize,
    /// When somebody last asked for it.
    pub(super) used: Duration,
    /// The last known size of a window, for gauges that have seen none.
    pub(super) known_limit: Option<u64>,
    /// No gauge is free until then, unless one changes: saves thousands of checks per request.
    idle: Option<Option<Duration>>,
}

impl ScopeGauges {
    pub(super) fn new(
        scope: BudgetScope,
        owners: &[Option<IpAddr>],
        remembered: &Remembered,
        now: Duration,
        settings: &BudgetSettings,
    ) -> Self {
        let gauge = |address: &Option<IpAddr>| {
            let key = Key { scope: scope.name().to_owned(), address: *address };
            remembered
                .get(&key)
                .map_or_else(Gauge::new, |(kept, age)| Gauge::restore(kept, *age, now, settings))
        };
        let gauges: Vec<Gauge> = owners.iter().map(gauge).collect();
        let known_limit = gauges.iter().filter_map(Gauge::limit).min();
        let (changed, turn, used) = (Arc::default(), 0, now);
        Self { scope, gauges, changed, turn, used, known_limit, idle: None }
    }

    /// What is in a place without a scope.
    pub(super) fn vacant() -> Self {
        let scope = BudgetScope::new("", Per::Source);
        let (gauges, changed, turn, used) = (Vec::new(), Arc::default(), 0, Duration::ZERO);
        Self { scope, gauges, changed, turn, used, known_limit: None, idle: None }
    }

    /// Whether nobody uses it or waits for it, and nothing is known of it that has to be kept.
    pub(super) fn is_idle(&mut self, now: Duration) -> bool {
        now >= self.used + UNUSED
            && Arc::strong_count(&self.changed) == 1
            && self.gauges.iter_mut().all(|gauge| gauge.is_idle(now))
    }

    /// Picks the free gauge with the fewest requests in flight, in turn; and one that should be recorded on disk to
    /// be free next.
    pub(super) fn pick(&mut self, now: Duration) -> (Pick, Option<usize>) {
        if let Some(until) = self.idle {
            if until.is_none_or(|until| now < until) {
                return (Pick::Wait(until), None);
            }
        }
        let count = self.gauges.len();
        let mut best: Option<(u32, usize)> = None;
        let mut unwritten: Option<(u32, usize)> = None;
        let mut earliest: Option<Duration> = None;
        let mut seen = 0;
        for index in (0..count).map(|step| (self.turn + step) % count) {
            let load = self.gauges[index].in_flight();
            match self.gauges[index].ready(now, self.known_limit) {
                Ready::Go => {
                    seen += 1;
                    if best.is_none_or(|(least, _)| load < least) {
                        best = Some((load, index));
                    }
                    if load == 0 || seen == ENOUGH_CHOICE {
                        break;
                    }
                }
                Ready::Reserve if unwritten.is_none_or(|(least, _)| load < least) => {
                    unwritten = Some((load, index))
                }
                Ready::Reserve => {}
                Ready::Wait(Some(until)) => earliest = Some(earliest.map_or(until, |first| first.min(until))),
                Ready::Wait(None) => {}
            }
        }
        let Some((load, index)) = best else {
            if unwritten.is_none() {
                self.idle = Some(earliest);
            }
            return (Pick::Wait(earliest), unwritten.map(|(_, index)| index));
        };
        self.turn = (index + 1) % count;
        (Pick::Go(index), unwritten.filter(|(other, _)| *other <= load).map(|(_, index)| index))
    }

    /// A gauge has changed, so cached findings about all of them no longer hold.
    pub(super) fn touched(&mut self, gauge: usize) {
        self.idle = None;
        self.known_limit = self.gauges[gauge].limit().or(self.known_limit);
    }

    /// How many requests could be sent now.
    pub(super) fn capacity(&mut self, now: Duration) -> usize {
        let known_limit = self.known_limit;
        self.gauges.iter_mut().map(|gauge| gauge.capacity(now, known_limit)).fold(0, usize::saturating_add)
    }
}
