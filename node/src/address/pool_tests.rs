//! The pool against a strict server, with restarts.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::response::Response;
use storage::env::{Entropy, SeededEntropy, SystemClock, Work};
use storage::ids::UserId;
use tokio::task::JoinSet;

use super::*;
use crate::address::AddressList;
use crate::budget::BootTime;
use crate::source::test_server::{Seen, quick_settings, serve};
use crate::source::twitter::{TwitterSettings, TwitterSource};
use crate::source::{Endpoint, Source};

const LIMIT: u64 = 40;
const WINDOW_SECONDS: u64 = 2;
const USER: UserId = UserId::Number(7);

/// A server with one strict window for each address and path, starting with its first request.
#[derive(Default)]
struct Strict {
    windows: Mutex<HashMap<(IpAddr, String), (Duration, u64)>>,
    served: AtomicU64,
    violations: AtomicU64,
    windows_begun: AtomicU64,
}

impl Strict {
    /// Status, requests left, and the end of the window in Unix seconds.
    fn count(&self, seen: &Seen) -> (u16, u64, u64) {
        let now = SystemClock::new().wall();
        let mut windows = self.windows.lock().unwrap();
        let (ends, used) = windows.entry((seen.from, seen.path.clone())).or_default();
        if now >= *ends {
            (*ends, *used) = (now + Duration::from_secs(WINDOW_SECONDS), 0);
            self.windows_begun.fetch_add(1, Ordering::Relaxed);
        }
        let good = *used < LIMIT;
        *used += u64::from(good);
        let counter = if good { &self.served } else { &self.violations };
        counter.fetch_add(1, Ordering::Relaxed);
        (if good { 200 } else { 429 }, LIMIT - *used, ends.as_secs())
    }
}

fn open(budgets: &Path, entropy: Arc<dyn Entropy>) -> Arc<AddressPool> {
    let addresses = "127.0.0.11-127.0.0.13".parse::<AddressList>().unwrap().resolve().unwrap();
    let env = LedgerEnv {
        clock: Arc::new(SystemClock::new()),
        entropy,
        work: Work::default(),
        boot: BootTime::read(),
    };
    let settings = BudgetSettings {
        margin: Duration::from_millis(50),
        default_window: Duration::from_secs(WINDOW_SECONDS + 1),
        ..BudgetSettings::default()
    };
    Arc::new(AddressPool::open(addresses, quick_settings(), budgets, settings, env).unwrap().0)
}

/// A worker: acquires, sends, settles. Some requests are lost on their way.
async fn work(pool: Arc<AddressPool>, source: Arc<TwitterSource>, entropy: Arc<SeededEntropy>) {
    loop {
        let endpoint = if entropy.next_unit() < 0.5 { Endpoint::Timeline } else { Endpoint::Followers };
        let scope = source.scope(endpoint, Some(&USER));
        let Acquired::Ready(permit) = pool.acquire_within(&scope, Duration::from_secs(1)).await.unwrap()
        else {
            continue;
        };
        let patience = Duration::from_millis(if entropy.next_unit() < 0.05 { 5 } else { 5_000 });
        if endpoint == Endpoint::Timeline {
            let page = source.timeline_page(permit.client(), &USER, None, None);
            if let Ok(answer) = tokio::time::timeout(patience, page).await {
                permit.settle_with(answer).0.unwrap();
            }
        } else {
            let page = source.followers_page(permit.client(), &USER, None);
            if let Ok(answer) = tokio::time::timeout(patience, page).await {
                permit.settle_with(answer).0.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_and_restarts_never_ask_too_much() {
    let strict = Arc::new(Strict::default());
    let entropy = Arc::new(SeededEntropy::new(42));
    let (server, random) = (Arc::clone(&strict), Arc::clone(&entropy));
    let url = serve(move |seen| {
        let (server, random) = (Arc::clone(&server), Arc::clone(&random));
        async move {
            let (status, left, ends) = server.count(&seen);
            // Answers overtake each other.
            tokio::time::sleep(Duration::from_millis(random.next_u64() % 30)).await;
            let body =
                if seen.path.contains("followers") { r#"{"ids":[],"next_cursor_str":"0"}"# } else { "[]" };
            let response = Response::builder().status(status).header("x-rate-limit-limit", LIMIT);
            let response = response.header("x-rate-limit-remaining", left).header("x-rate-limit-reset", ends);
            response.body(Body::from(body)).unwrap()
        }
    })
    .await;
    let settings = TwitterSettings { base_url: url, bearer: None, budget_per: None };
    let source = Arc::new(TwitterSource::new(&settings).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut budgets = folder.path().join("budgets-0");
    for life in 1..=6u64 {
        let pool = open(&budgets, entropy.clone());
        let mut workers = JoinSet::new();
        for _ in 0..24 {
            workers.spawn(work(Arc::clone(&pool), Arc::clone(&source), Arc::clone(&entropy)));
        }
        let lasts = if life == 6 { 4_000 } else { 200 + entropy.next_u64() % 1_500 };
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        workers.shutdown().await;
        // The next process finds what was on disk when the last request of this one was sent, not what came
        // after.
        budgets = folder.path().join(format!("budgets-{life}"));
        std::fs::copy(folder.path().join(format!("budgets-{}", life - 1)), &budgets).unwrap();
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (served, begun) = (count(&strict.served), count(&strict.windows_begun));
    assert_eq!(count(&strict.violations), 0, "served {served} in {begun} windows");
    // Each of six budgets had several windows; restarts cost a part of one.
    assert!(begun >= 12 && served >= begun * LIMIT / 3, "served {served} in {begun} windows");
}

#[tokio::test]
async fn each_request_comes_from_the_address_that_it_was_permitted_for() {
    let url = serve(|seen: Seen| async move {
        Response::new(Body::from(format!("[{{\"id\":1,\"from\":\"{}\"}}]", seen.from)))
    })
    .await;
    let settings = TwitterSettings { base_url: url, bearer: None, budget_per: None };
    let source = TwitterSource::new(&settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pool = open(&folder.path().join("budgets"), Arc::new(SeededEntropy::new(1)));
    assert_eq!((pool.len(), pool.is_empty()), (3, false));
    let scope = source.scope(Endpoint::Timeline, None);
    let mut used = std::collections::HashSet::new();
    // The second and third address are prepared on disk while others are in use.
    while used.len() < 3 {
        let Acquired::Ready(permit) = pool.acquire_within(&scope, Duration::from_secs(10)).await.unwrap()
        else {
            panic!("an unlimited source has no budget to wait for");
        };
        let address = permit.client().address().unwrap();
        let answer = source.timeline_page(permit.client(), &USER, None, None).await;
        let page = permit.settle_with(answer).0.unwrap();
        assert!(page.json(&page.items()[0]).contains(&address.to_string()));
        used.insert(address);
        tokio::task::yield_now().await;
    }
    assert!(pool.snapshot().iter().all(|row| row.unlimited && row.in_flight == 0));
}
