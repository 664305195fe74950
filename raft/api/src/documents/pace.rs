//! How fast crawls go, and when they end, for whoever looks at them again and again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::model::{CrawlId, CrawlView, Operation};

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(20);
/// A crawl that would take longer than this, seconds, has no end that anybody could name.
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
    /// What the counters say.
    pub fn of(crawl: &CrawlView) -> Self {
        let users = crawl.counters.users;
        let items = |operation: Operation| crawl.counters.operations[operation.index()].items;
        Self {
            users: users.completed + users.gone + users.failed + users.cancelled,
            tweets: items(Operation::Timeline) + items(Operation::Update),
            followers: items(Operation::Followers),
        }
    }

    /// As rates, from an earlier moment on. Retried errors take accounts back, which counts as none.
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

/// From a crawl's submission to its end, or till now.
pub fn age(crawl: &CrawlView) -> Duration {
    Duration::from_millis(crawl.ended_at.unwrap_or(crawl.now).saturating_sub(crawl.submitted_at))
}

/// How fast a crawl goes, per second.
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

    /// Seconds that the accounts that are left take; nothing while nobody knows.
    pub fn estimate(&self, crawl: &CrawlView) -> Option<f64> {
        let left = crawl.counters.users.waiting + crawl.counters.users.active;
        let seconds = left as f64 / self.users;
        (!crawl.phase.is_over() && self.users > 0.0 && seconds < LONGEST).then_some(seconds)
    }
}

/// The rates of crawls that are looked at again and again.
#[derive(Debug, Default)]
pub struct Pace {
    seen: BTreeMap<CrawlId, VecDeque<(Duration, Done)>>,
}

impl Pace {
    /// Takes what the crawls under way have done at a moment of the caller's monotonic clock.
    pub fn take(&mut self, at: Duration, crawls: &[CrawlView]) {
        let under_way = || crawls.iter().filter(|crawl| !crawl.phase.is_over());
        self.seen.retain(|id, _| under_way().any(|crawl| crawl.id == *id));
        for crawl in under_way() {
            let seen = self.seen.entry(crawl.id).or_default();
            seen.push_back((at, Done::of(crawl)));
            // One that is older stays, so that the window is always covered.
            while seen.get(1).is_some_and(|(second, _)| *second + WINDOW <= at) {
                seen.pop_front();
            }
        }
    }

    /// A crawl's rates over the last 20 s; its mean rates when it is over or not known for long enough.
    pub fn of(&self, crawl: &CrawlView) -> Rates {
        let seen = self.seen.get(&crawl.id).filter(|seen| seen.len() > 1 && !crawl.phase.is_over());
        match seen.and_then(|seen| seen.front().zip(seen.back())) {
            Some((first, last)) => last.1.since(first.1, last.0.saturating_sub(first.0)),
            None => Rates::mean(crawl),
        }
    }
}
