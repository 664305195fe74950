//! Tables of crawls.

use std::fmt::Write;

use api::documents::{Rates, age};
use api::model::{CrawlMoney, CrawlView};
use comfy_table::Table;

use super::{columns, count, duration, printable, rate};

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

/// The results of one crawl's operations.
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

/// One crawl in full, except for its operations.
pub fn crawl_details(crawl: &CrawlView, money: Option<&CrawlMoney>) -> String {
    let users = &crawl.counters.users;
    let spec = &crawl.spec;
    let rates = Rates::mean(crawl);
    let lines = [
        ("crawl", crawl.id.to_string()),
        ("name", printable(&spec.name)),
        ("source", spec.source.to_string()),
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
    for (name, value) in lines.into_iter().chain(super::money::details(crawl, money)) {
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
        let text = crawl_details(&crawl, None);
        for line in ["phase        running", "depth        no limit", "frontier     40", "failed       100"] {
            assert!(text.contains(line), "{line:?} in:\n{text}");
        }
        assert!(text.contains("2.2 users/s, 400 tweets/s, 100 followers/s"), "{text}");
        assert_eq!(operations(&crawl).trim_fmt().lines().count(), 4);
    }
}
