//! The crawls in `/metrics`.
//!
//! A crawl has 31 series, and clusters have thousands of crawls. Only the [`NAMED`] busiest have series of their own;
//! the others are summed. Only the leader exports them, since every node has the same.

use std::cmp::Reverse;

use api::model::{CrawlPhase, CrawlView, NodeRole, Operation, OperationCounters, UserCounters};

use super::Observation;
use super::exposition::Exposition;

/// Crawls with series of their own.
pub(super) const NAMED: usize = 20;

/// The metrics of a crawl, or of several together.
#[derive(Default)]
struct Row {
    name: String,
    users: UserCounters,
    /// Queued, ready, leased, delayed.
    jobs: [u64; 4],
    operations: [OperationCounters; 4],
    frontier: u64,
}

pub(super) fn render(page: &mut Exposition, node: &Observation) {
    page.gauge("twm_crawls", "Crawls by phase.");
    for phase in [
        CrawlPhase::Loading,
        CrawlPhase::Running,
        CrawlPhase::Paused,
        CrawlPhase::Finished,
        CrawlPhase::Cancelled,
    ] {
        page.sample(&[("phase", phase.name())], node.crawls.iter().filter(|c| c.phase == phase).count());
    }
    let leads = node.node.role == NodeRole::Leader;
    let rows = if leads { rows(&node.crawls) } else { Vec::new() };
    page.gauge(
        "twm_crawl_users",
        "Accounts by what became of them, of crawls under way; the leader's alone. Crawl other: all but the 20 busiest.",
    );
    for row in &rows {
        for (state, count) in by_state(&row.users) {
            page.sample(&[("crawl", &row.name), ("state", state)], count);
        }
    }
    page.gauge("twm_crawl_jobs", "Jobs by state, of crawls under way.");
    for row in &rows {
        for (state, count) in ["queued", "ready", "leased", "delayed"].into_iter().zip(row.jobs) {
            page.sample(&[("crawl", &row.name), ("state", state)], count);
        }
    }
    page.counter("twm_crawl_operations_total", "Ended operations by result, of crawls under way.");
    for row in &rows {
        for operation in Operation::ALL {
            for (result, count) in by_result(&row.operations[operation.index()]) {
                let labels =
                    [("crawl", row.name.as_str()), ("operation", operation.name()), ("result", result)];
                page.sample(&labels, count);
            }
        }
    }
    page.gauge("twm_crawl_frontier", "Accounts in the frontier, of crawls under way.");
    for row in &rows {
        page.sample(&[("crawl", &row.name)], row.frontier);
    }
}

/// The busiest running crawls, those that are not paused first; then all others in one row. Crawls that are over no
/// longer change and would only accumulate.
fn rows(crawls: &[CrawlView]) -> Vec<Row> {
    let mut under_way: Vec<&CrawlView> = crawls.iter().filter(|c| !c.phase.is_over()).collect();
    under_way.sort_by_key(|crawl| {
        let users = crawl.counters.users;
        (crawl.phase == CrawlPhase::Paused, Reverse(users.waiting + users.active), crawl.id)
    });
    let (named, others) = under_way.split_at(NAMED.min(under_way.len()));
    let mut rows: Vec<Row> = named.iter().map(|crawl| Row::of(crawl.id.to_string(), &[crawl])).collect();
    if !others.is_empty() {
        rows.push(Row::of("other".to_owned(), others));
    }
    rows
}

impl Row {
    fn of(name: String, crawls: &[&CrawlView]) -> Self {
        let mut row = Self { name, ..Self::default() };
        for crawl in crawls {
            let (sum, users) = (&mut row.users, crawl.counters.users);
            sum.waiting += users.waiting;
            sum.active += users.active;
            sum.completed += users.completed;
            sum.gone += users.gone;
            sum.failed += users.failed;
            sum.cancelled += users.cancelled;
            let jobs = [crawl.queued, crawl.ready, crawl.leased, crawl.delayed];
            row.jobs.iter_mut().zip(jobs).for_each(|(sum, jobs)| *sum += jobs);
            for (sum, counters) in row.operations.iter_mut().zip(crawl.counters.operations) {
                sum.completed += counters.completed;
                sum.gone += counters.gone;
                sum.failed += counters.failed;
                sum.limited += counters.limited;
                sum.retried += counters.retried;
            }
            row.frontier += crawl.counters.frontier;
        }
        row
    }
}

fn by_result(counters: &OperationCounters) -> [(&'static str, u64); 5] {
    [
        ("completed", counters.completed),
        ("gone", counters.gone),
        ("failed", counters.failed),
        ("limited", counters.limited),
        ("retried", counters.retried),
    ]
}

fn by_state(users: &UserCounters) -> [(&'static str, u64); 6] {
    [
        ("waiting", users.waiting),
        ("active", users.active),
        ("completed", users.completed),
        ("gone", users.gone),
        ("failed", users.failed),
        ("cancelled", users.cancelled),
    ]
}
