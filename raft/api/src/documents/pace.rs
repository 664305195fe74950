//! Rates of crawls and estimates of their ends, for callers that poll.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::{CrawlId, CrawlView, Operation};

/// The rates are means over this time.
const WINDOW: Duration = Duration::from_secs(20);
/// Longest estimate, seconds. A crawl that would take longer has none.
const LONGEST: f64 = 1e9;

/// What a crawl has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Accounts in a final state.
    pub users: u64,
    /// Tweets of completed timelines and updates.
    pub tweets: u64,
    /// Followers of completed follower lists.
    pub followers: u64,
}

impl Done {
    /// Reads the counters of a crawl.
    pub fn of(crawl: &CrawlView) -> Self {
        let users = crawl.counters.users;
        let items = |operation: Operation| crawl.counters.operations[operation.index()].items;
        Self {
            users: users.completed + users.gone + users.failed + users.cancelled,
            tweets: items(Operation::Timeline) + items(Operation::Update),
            followers: items(Operation::Followers),
        }
    }

    /// Rates since an earlier moment. Retried errors make the number of final accounts fall, which counts as
    /// a rate of zero.
    fn since(self, earlier: Self, time: Duration) -> Rates {
        let per_second = |now: u64, then: u64| match time.as_secs_f64() {
            seconds if seconds > 0.0 => now.saturating_sub(then) as f64 / seconds,
            _ => 0.0,
        };
        Rates {
            users: per_second(self.users, earlier.users),
            tweets: per_second(self.tweets, earlier.tweets),
            followers: per_second(self.followers, earlier.followers),
        }
    }
}

/// From a crawl's submission to its end, or to the present.
pub fn age(crawl: &CrawlView) -> Duration {
    Duration::from_millis(crawl.ended_at.unwrap_or(crawl.now).saturating_sub(crawl.submitted_at))
}

/// Rates of a crawl, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Accounts that reached a final state.
    pub users: f64,
    /// Tweets of completed timelines and updates.
    pub tweets: f64,
    /// Followers of completed follower lists.
    pub followers: f64,
}

impl Rates {
    /// The mean since the submission.
    pub fn mean(crawl: &CrawlView) -> Self {
        Done::of(crawl).since(Done::default(), age(crawl))
    }

    /// Estimated seconds until the crawl ends; absent if unknown.
    pub fn estimate(&self, crawl: &CrawlView) -> Option<f64> {
        let left = crawl.counters.users.waiting + crawl.counters.users.active;
        let seconds = left as f64 / self.users;
        (!crawl.phase.is_over() && self.users > 0.0 && seconds < LONGEST).then_some(seconds)
    }
}

/// Computes the rates of crawls that are polled.
#[derive(Debug, Default)]
pub struct Pace {
    seen: BTreeMap<CrawlId, VecDeque<(Duration, Done)>>,
}

impl Pace {
    /// Records the progress of running crawls at a moment of the caller's monotonic clock.
    pub fn take(&mut self, at: Duration, crawls: &[CrawlView]) {
        let under_way = || crawls.iter().filter(|crawl| !crawl.phase.is_over());
        self.seen.retain(|id, _| under_way().any(|crawl| crawl.id == *id));
        for crawl in under_way() {
            let seen = self.seen.entry(crawl.id).or_default();
            seen.push_back((at, Done::of(crawl)));
            // One sample older than the window stays, so that the window is always covered.
            while seen.get(1).is_some_and(|(second, _)| *second + WINDOW <= at) {
                seen.pop_front();
            }
        }
    }

    /// A crawl's rates over the last 20 s; its mean rates if it is over or has been sampled for a shorter
    /// time.
    pub fn of(&self, crawl: &CrawlView) -> Rates {
        let seen = self.seen.get(&crawl.id).filter(|seen| seen.len() > 1 && !crawl.phase.is_over());
        match seen.and_then(|seen| seen.front().zip(seen.back())) {
            Some((first, last)) => last.1.since(first.1, last.0.saturating_sub(first.0)),
            None => Rates::mean(crawl),
        }
    }
}
