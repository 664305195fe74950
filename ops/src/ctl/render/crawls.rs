//! Tables of crawls.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::Table;
use raft::model::{CrawlView, Operation};

use super::{columns, count, duration, printable, rate};

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
    /// The mean since the crawl's submission.
    pub fn mean(crawl: &CrawlView) -> Self {
        let seconds = age(crawl).as_secs_f64();
        Progressed::of(crawl).per(seconds)
    }
}

/// What a crawl has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progressed {
    /// Accounts in a final state.
    pub users: u64,
    /// Tweets.
    pub tweets: u64,
    /// Followers.
    pub followers: u64,
}

impl Progressed {
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

    /// What was done since an earlier moment. Retried errors take accounts back, which counts as none.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            users: self.users.saturating_sub(earlier.users),
            tweets: self.tweets.saturating_sub(earlier.tweets),
            followers: self.followers.saturating_sub(earlier.followers),
        }
    }

    /// As rates over so many seconds.
    pub fn per(self, seconds: f64) -> Rates {
        if seconds <= 0.0 {
            return Rates::default();
        }
        Rates {
            users: self.users as f64 / seconds,
            tweets: self.tweets as f64 / seconds,
            followers: self.followers as f64 / seconds,
        }
    }
}

/// From the submission to the end, or till now.
pub fn age(crawl: &CrawlView) -> Duration {
    Duration::from_millis(crawl.ended_at.unwrap_or(crawl.now).saturating_sub(crawl.submitted_at))
}

/// Every crawl with its queue and rates.
pub fn crawls<'a>(
    crawls: impl IntoIterator<Item = &'a CrawlView>,
    rates: impl Fn(&CrawlView) -> Rates,
) -> Table {
    let rows = crawls.into_iter().map(|crawl| {
        let users = &crawl.counters.users;
        let rates = rates(crawl);
        [
            crawl.id.to_string(),
            printable(&crawl.spec.name),
            crawl.spec.operations.to_string(),
            crawl.phase.name().to_owned(),
            count(users.accepted),
            count(crawl.queued + crawl.ready),
            count(crawl.leased),
            count(crawl.delayed),
            count(users.completed),
            count(users.gone),
            count(users.failed),
            rate(rates.users),
            rate(rates.tweets),
            rate(rates.followers),
            duration(age(crawl)),
        ]
    });
    let header = [
        "CRAWL",
        "NAME",
        "OPS",
        "PHASE",
        ">USERS",
        ">QUEUED",
        ">LEASED",
        ">DELAYED",
        ">DONE",
        ">GONE",
        ">ERRORS",
        ">USERS/S",
        ">TWEETS/S",
        ">FOLLOWERS/S",
        "TIME",
    ];
    columns(header, rows)
}

/// What one crawl's operations came to.
pub fn operations(crawl: &CrawlView) -> Table {
    let rows = crawl.spec.operations.iter().map(|operation| {
        let jobs = &crawl.counters.operations[operation.index()];
        [
            operation.name().to_owned(),
            count(jobs.completed),
            count(jobs.gone),
            count(jobs.failed),
            count(jobs.limited),
            count(jobs.retried),
            count(jobs.items),
        ]
    });
    columns(["OPERATION", ">COMPLETED", ">GONE", ">FAILED", ">LIMITED", ">RETRIED", ">ITEMS"], rows)
}

/// One crawl in full, but for its operations.
pub fn crawl_details(crawl: &CrawlView) -> String {
    let users = &crawl.counters.users;
    let spec = &crawl.spec;
    let rates = Rates::mean(crawl);
    let lines = [
        ("crawl", crawl.id.to_string()),
        ("name", printable(&spec.name)),
        ("phase", crawl.phase.name().to_owned()),
        ("operations", spec.operations.to_string()),
        ("traversal", spec.traversal.name().to_owned()),
        ("depth", spec.depth.map_or("no limit".to_owned(), |d| d.to_string())),
        ("follow rule", spec.follow.as_deref().map_or("none".to_owned(), printable)),
        ("priority", spec.priority.to_string()),
        ("time", duration(age(crawl))),
        ("users", format!("{} accepted, {} named again", count(users.accepted), count(users.duplicates))),
        ("not begun", count(users.waiting)),
        ("begun", count(users.active)),
        ("completed", count(users.completed)),
        ("gone", count(users.gone)),
        ("failed", count(users.failed)),
        ("cancelled", count(users.cancelled)),
        ("queued", format!("{} not begun, {} under way", count(crawl.queued), count(crawl.ready))),
        ("leased", count(crawl.leased)),
        ("delayed", count(crawl.delayed)),
        (
            "discovered",
            format!("{}, {} admitted", count(crawl.counters.discovered), count(crawl.counters.admitted)),
        ),
        ("frontier", count(crawl.counters.frontier)),
        (
            "mean rates",
            format!(
                "{} users/s, {} tweets/s, {} followers/s",
                rate(rates.users),
                rate(rates.tweets),
                rate(rates.followers)
            ),
        ),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::render::samples;

    #[test]
    fn a_crawl_in_full_names_what_was_asked_and_what_was_done() {
        let crawl = samples::crawl();
        let text = crawl_details(&crawl);
        for line in ["phase        running", "depth        no limit", "frontier     40", "failed       100"] {
            assert!(text.contains(line), "{line:?} in:\n{text}");
        }
        assert!(text.contains("2.2 users/s, 400 tweets/s, 100 followers/s"), "{text}");
        assert_eq!(operations(&crawl).trim_fmt().lines().count(), 4);
    }
}
