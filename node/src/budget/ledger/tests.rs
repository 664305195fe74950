//! The ledger under concurrent use.

use std::collections::HashSet;
use std::path::PathBuf;

use storage::env::{ManualClock, SeededEntropy, SystemClock, Work};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::rate::Delivery;

const DEADLINE: Duration = Duration::from_secs(10);

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("budgets")
    }

    fn open(&self, addresses: usize) -> Ledger {
        self.open_by(addresses, Arc::new(SystemClock::new()))
    }

    fn open_by(&self, addresses: usize, clock: Arc<dyn Clock>) -> Ledger {
        let addresses = (1..=addresses).map(|n| Some(IpAddr::from([127, 0, 0, n as u8]))).collect();
        let env = LedgerEnv {
            clock,
            entropy: Arc::new(SeededEntropy::new(1)),
            work: Work::default(),
            boot: BootTime::read(),
        };
        Ledger::open(&self.path(), addresses, BudgetSettings::default(), env).unwrap().0
    }
}

fn scope() -> BudgetScope {
    BudgetScope::new("http://host/endpoint", Per::Address)
}

fn left(remaining: u64) -> RateInfo {
    RateInfo {
        delivery: Delivery::Answered(200),
        limit: Some(1000),
        remaining: Some(remaining),
        reset_in: Some(Duration::from_secs(600)),
        window: Some(1_700_000_000),
        ..RateInfo::not_sent()
    }
}

async fn ticket(ledger: &Ledger) -> Ticket {
    match timeout(DEADLINE, ledger.acquire_within(&scope(), DEADLINE)).await.unwrap().unwrap() {
        Acquired::Ready(ticket) => ticket,
        Acquired::Wait(wait) => panic!("told to wait {wait:?}"),
    }
}

fn is_wait(acquired: &Acquired<Ticket>) -> bool {
    matches!(acquired, Acquired::Wait(_))
}

#[tokio::test]
async fn one_answer_lets_all_that_wait_go_and_no_more_than_it_leaves() {
    let place = Place::new();
    let ledger = place.open(1);
    let probe = ticket(&ledger).await;
    let waiters: Vec<_> = (0..60)
        .map(|_| {
            let ledger = ledger.clone();
            tokio::spawn(
                async move { ledger.acquire_within(&scope(), Duration::from_secs(2)).await.unwrap() },
            )
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(ledger.capacity(&scope()), 0);
    probe.settle(&left(50));
    let mut held = Vec::new();
    for waiter in waiters {
        if let Acquired::Ready(ticket) = timeout(DEADLINE, waiter).await.unwrap().unwrap() {
            held.push(ticket);
        }
    }
    assert_eq!(held.len(), 50);
    let status = ledger.snapshot();
    assert_eq!(
        (status.len(), status[0].in_flight, status[0].remaining, status[0].limit),
        (1, 50, Some(0), Some(1000))
    );
}

#[tokio::test]
async fn a_waiter_that_gives_up_passes_the_wake_up_on() {
    let place = Place::new();
    let ledger = place.open(1);
    for _ in 0..20 {
        let probe = ticket(&ledger).await;
        let patient = {
            let ledger = ledger.clone();
            tokio::spawn(async move { ticket(&ledger).await })
        };
        let fickle: Vec<_> = (0..5)
            .map(|_| {
                let ledger = ledger.clone();
                tokio::spawn(async move { ledger.acquire_within(&scope(), DEADLINE).await })
            })
            .collect();
        tokio::task::yield_now().await;
        probe.settle(&RateInfo::not_sent());
        for waiter in &fickle {
            waiter.abort();
        }
        // Whether it had a ticket or not: aborting it drops the ticket unanswered.
        let ticket = timeout(DEADLINE, patient).await.unwrap().unwrap();
        ticket.settle(&RateInfo { retry_after: None, ..left(900) });
    }
}

#[tokio::test]
async fn asking_is_bounded_in_time() {
    let place = Place::new();
    let ledger = place.open(1);
    ticket(&ledger).await.settle(&left(0));
    let waited =
        timeout(DEADLINE, ledger.acquire_within(&scope(), Duration::from_millis(50))).await.unwrap().unwrap();
    let Acquired::Wait(wait) = waited else { panic!("a ticket without budget") };
    assert!(wait > Duration::from_secs(590) && wait < Duration::from_secs(602), "{wait:?}");
    assert!(is_wait(&ledger.acquire(&scope()).unwrap()));
}

#[tokio::test]
async fn requests_go_to_all_addresses_in_turn() {
    let place = Place::new();
    let ledger = place.open(4);
    let mut probed = HashSet::new();
    let mut probes = Vec::new();
    for _ in 0..4 {
        let probe = ticket(&ledger).await;
        probed.insert(probe.address());
        probes.push(probe);
    }
    assert_eq!(probed.len(), 4, "each address has a budget of its own");
    assert_eq!(ledger.capacity(&scope()), 0);
    probes.into_iter().for_each(|probe| probe.settle(&left(100)));
    assert_eq!(ledger.capacity(&scope()), 400);
    let mut held = Vec::new();
    let mut by_address = [0; 4];
    for _ in 0..40 {
        let ticket = ticket(&ledger).await;
        by_address[ticket.address()] += 1;
        held.push(ticket);
    }
    assert!(by_address.iter().all(|&count| (5..=20).contains(&count)), "{by_address:?}");
}

#[tokio::test]
async fn a_shared_budget_is_one_for_all_addresses() {
    let place = Place::new();
    let ledger = place.open(3);
    let shared = BudgetScope::new("token", Per::Source);
    let Acquired::Ready(probe) = ledger.acquire_within(&shared, DEADLINE).await.unwrap() else {
        panic!("no probe")
    };
    assert_eq!(ledger.capacity(&shared), 0);
    probe.settle(&left(20));
    let mut addresses = HashSet::new();
    let mut held = Vec::new();
    for _ in 0..20 {
        let Acquired::Ready(ticket) = ledger.acquire_within(&shared, DEADLINE).await.unwrap() else {
            panic!("only {} tickets", held.len())
        };
        addresses.insert(ticket.address());
        held.push(ticket);
    }
    let spent = ledger.acquire_within(&shared, Duration::from_millis(200)).await.unwrap();
    assert!(is_wait(&spent) && ledger.capacity(&shared) == 0);
    assert_eq!(addresses.len(), 3);
}

#[tokio::test]
async fn a_killed_process_leaves_no_more_than_there_was() {
    let place = Place::new();
    let ledger = place.open(1);
    ticket(&ledger).await.settle(&left(100));
    let held: Vec<_> = {
        let mut held = Vec::new();
        for _ in 0..30 {
            held.push(ticket(&ledger).await);
        }
        held
    };
    // The disk at this moment, with all tickets taken.
    let killed = Place::new();
    std::fs::copy(place.path(), killed.path()).unwrap();
    let again = killed.open(1);
    let capacity = again.capacity(&scope());
    assert!((50..=70).contains(&capacity), "{capacity}");
    drop(held);
    for more in 0..capacity as u64 {
        ticket(&again).await.settle(&left(70 - more));
    }
    let spent = again.acquire_within(&scope(), Duration::from_millis(200)).await.unwrap();
    assert!(is_wait(&spent) && again.capacity(&scope()) == 0);
}

#[tokio::test]
async fn a_dropped_ticket_counts_as_sent() {
    let place = Place::new();
    let ledger = place.open(1);
    ticket(&ledger).await.settle(&left(10));
    drop(ticket(&ledger).await);
    assert_eq!(ledger.capacity(&scope()), 9);
    ticket(&ledger).await.settle(&RateInfo::not_sent());
    assert_eq!(ledger.capacity(&scope()), 9, "what was not sent is still there");
}

#[tokio::test]
async fn nothing_goes_when_nothing_can_be_written() {
    let place = Place::new();
    let ledger = place.open(1);
    let probe = ticket(&ledger).await;
    let waiter = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.acquire_within(&scope(), DEADLINE).await })
    };
    tokio::task::yield_now().await;
    let source = std::io::Error::from_raw_os_error(28);
    ledger.shared.lock().stop(BudgetError::Write { path: place.path(), source });
    assert!(timeout(DEADLINE, waiter).await.unwrap().unwrap().is_err());
    let error = ledger.acquire(&scope()).unwrap_err().to_string();
    assert!(error.contains("nothing is sent") && error.contains("budgets"), "{error}");
    assert_eq!(ledger.capacity(&scope()), 0);
    probe.settle(&left(10));
}

#[tokio::test]
async fn after_damage_nothing_goes_for_a_window() {
    let place = Place::new();
    ticket(&place.open(1)).await.settle(&left(10));
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[20] ^= 0x10;
    std::fs::write(place.path(), &bytes).unwrap();
    let Acquired::Wait(wait) = place.open(1).acquire(&scope()).unwrap() else { panic!("sent after damage") };
    assert!(wait > Duration::from_secs(890), "{wait:?}");
}

#[tokio::test]
async fn addresses_of_one_network_share_a_budget_that_counts_by_network() {
    let place = Place::new();
    let addresses = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|a| Some(a.parse().unwrap()));
    let env = LedgerEnv {
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SeededEntropy::new(1)),
        work: Work::default(),
        boot: BootTime::read(),
    };
    let ledger = Ledger::open(&place.path(), addresses.to_vec(), BudgetSettings::default(), env).unwrap().0;
    let scope = BudgetScope::new("http://host/endpoint", Per::Network);
    let mut used = HashSet::new();
    for _ in 0..2 {
        let acquired = timeout(DEADLINE, ledger.acquire_within(&scope, DEADLINE)).await.unwrap().unwrap();
        let Acquired::Ready(ticket) = acquired else { panic!("told to wait") };
        used.insert(ticket.address() / 2);
        ticket.settle(&left(0));
    }
    // One request of each network, and then nothing.
    assert_eq!((used.len(), ledger.capacity(&scope)), (2, 0));
    assert_eq!(ledger.snapshot().len(), 2);
}

#[tokio::test]
async fn a_request_that_counts_in_two_budgets_needs_both() {
    let place = Place::new();
    let ledger = place.open(1);
    let all = BudgetScope::new("http://host/all", Per::Address);
    let pages = BudgetScope::new("http://host/pages", Per::Address).within(all.clone());
    let take = async |scope: &BudgetScope| match timeout(DEADLINE, ledger.acquire_within(scope, DEADLINE))
        .await
        .unwrap()
        .unwrap()
    {
        Acquired::Ready(ticket) => ticket,
        Acquired::Wait(wait) => panic!("told to wait {wait:?}"),
    };
    take(&all).await.settle(&left(3));
    // What its answer tells is what is left of its own budget.
    take(&pages).await.settle(&left(100));
    take(&pages).await.settle(&left(99));
    take(&pages).await.settle(&left(98));
    assert!(is_wait(&ledger.acquire(&pages).unwrap()), "all has none left");
    assert!(is_wait(&ledger.acquire(&all).unwrap()));
}

#[tokio::test]
async fn scopes_that_nobody_uses_are_forgotten_and_those_in_use_keep_their_place() {
    let place = Place::new();
    let clock = Arc::new(ManualClock::default());
    let ledger = place.open_by(2, clock.clone());
    let exhausted = BudgetScope::new("http://exhausted/", Per::Address);
    for _ in 0..2 {
        let Acquired::Ready(probe) = ledger.acquire_within(&exhausted, DEADLINE).await.unwrap() else {
            panic!("no probe")
        };
        probe.settle(&RateInfo { reset_in: Some(Duration::from_secs(86_400)), ..left(0) });
    }
    let held = ticket(&ledger).await;
    for host in 0..3_000 {
        clock.advance(Duration::from_secs(5));
        assert_eq!(ledger.capacity(&BudgetScope::new(&format!("http://host{host}/"), Per::Address)), 2);
    }
    assert!(ledger.shared.lock().scopes.len() < 600, "{}", ledger.shared.lock().scopes.len());
    assert_eq!(ledger.capacity(&exhausted), 0, "its window is not over");
    held.settle(&left(40));
    assert_eq!(ledger.capacity(&scope()), 40 + 1, "what it was taken from is still its own");
}
