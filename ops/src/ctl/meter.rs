//! Rates from counters that are read again and again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use raft::model::{CrawlId, CrawlView};

use super::render::{Progressed, Rates};

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(15);

/// Measures one crawl's rates over the last [`WINDOW`].
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Duration, Progressed)>,
}

impl Meter {
    /// Takes what the crawl has done at a moment of the caller's monotonic clock; answers the rates.
    pub fn take(&mut self, at: Duration, crawl: &CrawlView) -> Rates {
        let now = Progressed::of(crawl);
        self.samples.push_back((at, now));
        // One sample older than the window stays, so that the window is always covered.
        while self.samples.get(1).is_some_and(|&(second, _)| second + WINDOW <= at) {
            self.samples.pop_front();
        }
        match self.samples.front() {
            Some(&(first, then)) => now.since(then).per(at.saturating_sub(first).as_secs_f64()),
            None => Rates::default(),
        }
    }
}

/// How long the accounts that are left take at this rate; nothing while nobody knows.
pub fn estimate(crawl: &CrawlView, rates: Rates) -> Option<Duration> {
    let left = crawl.counters.users.waiting + crawl.counters.users.active;
    let seconds = left as f64 / rates.users;
    (rates.users > 0.0 && seconds < 1e9).then(|| Duration::from_secs_f64(seconds))
}

/// A [`Meter`] for each crawl.
#[derive(Debug, Default)]
pub struct Meters {
    meters: BTreeMap<CrawlId, (Meter, Rates)>,
}

impl Meters {
    /// Takes what all crawls have done at a moment; see [`Meter::take`].
    pub fn take(&mut self, at: Duration, crawls: &[CrawlView]) {
        for crawl in crawls {
            let (meter, rates) = self.meters.entry(crawl.id).or_default();
            *rates = meter.take(at, crawl);
        }
    }

    /// A crawl's rates when it was last taken; its mean rates before.
    pub fn rates(&self, crawl: &CrawlView) -> Rates {
        match self.meters.get(&crawl.id) {
            Some((meter, rates)) if meter.samples.len() > 1 => *rates,
            _ => Rates::mean(crawl),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn a_rate_looks_back_one_window() {
        let mut crawl = samples::crawl();
        crawl.counters = Default::default();
        let mut meter = Meter::default();
        let mut rates = Rates::default();
        for second in 0..100 {
            // Slow for a minute, then ten a second.
            crawl.counters.users.completed += if second < 60 { 1 } else { 10 };
            rates = meter.take(Duration::from_secs(second), &crawl);
        }
        assert_eq!(rates.users, 10.0);
        assert!(meter.samples.len() < 20, "{}", meter.samples.len());
    }

    #[test]
    fn accounts_that_are_retried_give_no_negative_rate() {
        let mut crawl = samples::crawl();
        let mut meter = Meter::default();
        meter.take(Duration::ZERO, &crawl);
        crawl.counters.users.failed = 0;
        assert_eq!(meter.take(Duration::from_secs(1), &crawl).users, 0.0);
    }

    #[test]
    fn nobody_knows_the_end_while_nothing_moves() {
        let crawl = samples::crawl();
        assert_eq!(estimate(&crawl, Rates::default()), None);
        let rates = Rates { users: 7.0, ..Rates::default() };
        assert_eq!(estimate(&crawl, rates), Some(Duration::from_secs(100)));
    }
}
