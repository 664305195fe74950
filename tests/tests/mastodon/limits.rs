//! Budgets: no request is one too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use node::budget::{Acquired, BootTime, BudgetSettings, Ledger, LedgerEnv};
use node::rate::BudgetScope;
use node::source::{Endpoint, Source};
use storage::env::{SeededEntropy, SystemClock, Work};
use tokio::time::timeout;
use twm_tests::emulator::mastodon::{FediverseOptions, Limits, Window};

use super::crawl::{Crawl, id};

/// Workers that walk at the same time.
const WORKERS: usize = 6;

fn ledger(folder: &tempfile::TempDir) -> Ledger {
    let env = LedgerEnv {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        work: Work::default(),
        boot: BootTime::read(),
    };
    let settings = BudgetSettings { default_window: Duration::from_secs(2), ..BudgetSettings::default() };
    Ledger::open(&folder.path().join("budgets"), vec![None], settings, env).unwrap().0
}

/// Walks a timeline as a worker does: a ticket for each request.
async fn walk(crawl: &Crawl, ledger: &Ledger, acct: &str) -> Vec<String> {
    let (user, mut cursor, mut items) = (id(acct), None, Vec::new());
    loop {
        let scope: BudgetScope = crawl.source.page_scope(Endpoint::Timeline, &user, cursor.as_deref());
        let Acquired::Ready(ticket) = ledger.acquire_within(&scope, Duration::from_secs(60)).await.unwrap()
        else {
            continue;
        };
        let answer = crawl.source.timeline_page(&crawl.client, &user, cursor.as_deref(), None).await;
        ticket.settle(&answer.rate);
        let page = answer.outcome.unwrap();
        items.extend(page.posts().map(|(id, _)| id.to_string()));
        cursor = page.next;
        if cursor.is_none() {
            return items;
        }
    }
}

#[tokio::test]
async fn pages_and_plain_requests_together_exceed_neither_limit() {
    let window = |requests, seconds| Window { requests, length: Duration::from_secs(seconds) };
    let limits = Some(Limits { plain: window(80, 2), paging: window(100, 4) });
    let options = FediverseOptions { limits, posts_mean: 110.0, ..FediverseOptions::new(1, 80, 6) };
    let (crawl, folder) = (Crawl::start(options, &[]).await, tempfile::tempdir().unwrap());
    let (ledger, accounts) = (ledger(&folder), crawl.fediverse.accounts());
    let next = AtomicUsize::new(0);
    let worker = async || {
        while let Some(acct) = accounts.get(next.fetch_add(1, Ordering::Relaxed)) {
            assert_eq!(walk(&crawl, &ledger, acct).await, crawl.fediverse.expected_timeline(acct));
        }
    };
    let workers = (0..WORKERS).map(|_| worker());
    timeout(Duration::from_secs(120), futures::future::join_all(workers)).await.unwrap();
    let stats = crawl.fediverse.stats();
    assert!(stats.requests > 150, "{stats:?}");
    assert_eq!(stats.over, 0, "{stats:?}");
}
