//! The history of the last hour and the last day, within bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use api::documents::Done;
use api::model::{CrawlView, NodeStatus};

/// Time between two points of the last hour, and their number.
pub(super) const FINE: (Duration, usize) = (Duration::from_secs(2), 1_800);
/// Time between two points of the last day, and their number.
const COARSE: (Duration, usize) = (Duration::from_secs(60), 1_440);

/// The counters at one moment: those of crawls are the whole cluster's, the others this node's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Point {
    /// Wall-clock time, ms since the Unix epoch.
    pub(super) at_ms: u64,
    /// Of all crawls: accounts in a final state.
    users: u64,
    tweets: u64,
    followers: u64,
    /// Accounts in error lists now.
    failed: u64,
    /// Jobs and accounts that could run, that run, and that are delayed.
    queued: u64,
    leased: u64,
    delayed: u64,
    /// Of this node: requests sent and failed, since its start.
    requests: u64,
    request_errors: u64,
    /// Workers with a job now.
    busy: u64,
    /// Log entries that are not applied yet.
    lag: u64,
}

impl Point {
    /// The names of [`Self::values`].
    pub(super) const FIELDS: [&'static str; 12] = [
        "at_ms",
        "users",
        "tweets",
        "followers",
        "failed",
        "queued",
        "leased",
        "delayed",
        "requests",
        "request_errors",
        "busy",
        "lag",
    ];

    pub(super) fn of(at_ms: u64, node: &NodeStatus, crawls: &[CrawlView]) -> Self {
        let workers = node.workers.as_ref();
        let mut point = Self {
            at_ms,
            requests: workers.map_or(0, |w| w.requests),
            request_errors: workers.map_or(0, |w| w.request_errors),
            busy: workers.map_or(0, |w| u64::from(w.busy)),
            lag: node.last_log.saturating_sub(node.applied),
            ..Self::default()
        };
        for crawl in crawls {
            let done = Done::of(crawl);
            point.users += done.users;
            point.tweets += done.tweets;
            point.followers += done.followers;
            point.failed += crawl.counters.users.failed;
            point.queued += crawl.queued + crawl.ready;
            point.leased += crawl.leased;
            point.delayed += crawl.delayed;
        }
        point
    }

    /// In the order of [`Self::FIELDS`].
    pub(super) fn values(&self) -> [u64; 12] {
        [
            self.at_ms,
            self.users,
            self.tweets,
            self.followers,
            self.failed,
            self.queued,
            self.leased,
            self.delayed,
            self.requests,
            self.request_errors,
            self.busy,
            self.lag,
        ]
    }
}

/// The last hour and the last day.
#[derive(Debug, Default)]
pub(super) struct History {
    fine: VecDeque<Point>,
    coarse: VecDeque<Point>,
}

/// A range of the history, up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    Hour,
    Quarter,
    Day,
    Week,
}

impl Range {
    /// The ranges of a node's own history.
    pub(super) const OWN: [Self; 3] = [Self::Hour, Self::Quarter, Self::Day];
    pub(super) const ALL: [Self; 4] = [Self::Hour, Self::Quarter, Self::Day, Self::Week];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Quarter => "6h",
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    pub(super) fn length(self) -> Duration {
        let hours = match self {
            Self::Hour => 1,
            Self::Quarter => 6,
            Self::Day => 24,
            Self::Week => 7 * 24,
        };
        Duration::from_secs(hours * 3600)
    }

    /// Time between two points of a node's own history.
    pub(super) fn step(self) -> Duration {
        if self == Self::Hour { FINE.0 } else { COARSE.0 }
    }
}

impl History {
    pub(super) fn push(&mut self, point: Point) {
        keep(&mut self.fine, FINE.1, point);
        let step = COARSE.0.as_millis() as u64;
        // A clock that was set back also creates a point, so that the history continues.
        let due = self.coarse.back().is_none_or(|last| point.at_ms.abs_diff(last.at_ms) >= step);
        if due {
            keep(&mut self.coarse, COARSE.1, point);
        }
    }

    /// Oldest first. For a week, the last day.
    pub(super) fn points(&self, range: Range) -> impl Iterator<Item = &Point> {
        let points = if range == Range::Hour { &self.fine } else { &self.coarse };
        let newest = points.back().map_or(0, |point| point.at_ms);
        let length = range.length().as_millis() as u64;
        points.iter().filter(move |point| newest.saturating_sub(point.at_ms) <= length)
    }

    pub(super) fn newest(&self) -> Option<Point> {
        self.fine.back().copied()
    }
}

fn keep(points: &mut VecDeque<Point>, most: usize, point: Point) {
    if points.len() >= most {
        points.pop_front();
    }
    points.push_back(point);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded_and_the_day_has_a_point_a_minute() {
        let mut history = History::default();
        for n in 0..100_000 {
            history.push(Point { at_ms: n * 2_000, users: n, ..Point::default() });
        }
        assert_eq!(history.points(Range::Hour).count(), FINE.1);
        let day: Vec<_> = history.points(Range::Day).collect();
        assert_eq!(day.len(), COARSE.1);
        assert!(day.windows(2).all(|two| two[1].at_ms - two[0].at_ms == 60_000));
        assert_eq!(history.points(Range::Quarter).count(), 6 * 60 + 1);
        assert_eq!(history.points(Range::Week).count(), COARSE.1);
        assert_eq!(history.newest().map(|point| point.users), Some(99_999));
    }
}
