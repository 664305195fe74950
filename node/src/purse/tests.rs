//! The purse against a ledger.

use api::model::{CycleRule, Outcome};
use raft::state::spend::Spend;
use storage::env::ManualClock;

use super::*;
use crate::rate::{Delivery, RateInfo};

const CYCLE: u64 = 3600;
const NOW: u64 = 1_000 * CYCLE + 100;
const SESSION: SessionId = SessionId(5);
const CRAWL: CrawlId = CrawlId(7);

struct World {
    clock: Arc<ManualClock>,
    purse: Arc<Purse>,
    ledger: Spend,
}

fn terms(limit: u64) -> AppTerms {
    AppTerms { limit, cycle: CycleRule::Every { seconds: CYCLE }, margin: 10 }
}

impl World {
    fn new(limit: u64) -> Self {
        let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(NOW)));
        let purse = Purse::new(vec![("one".into(), terms(limit))], clock.clone());
        let mut ledger = Spend::default();
        ledger.open_session(SESSION).unwrap();
        ledger.set_crawl(CRAWL, None).unwrap();
        purse.begin(SESSION);
        let mut world = Self { clock, purse, ledger };
        world.exchange();
        world
    }

    /// Reports what there is to report.
    fn exchange(&mut self) -> Vec<Outcome> {
        let Some(report) = self.purse.next_report(SESSION) else { return Vec::new() };
        let answer = self.ledger.report(SESSION, &report).unwrap();
        self.ledger.check().unwrap();
        self.purse.accept(SESSION, &report, answer.clone());
        answer.outcomes
    }

    /// Takes the worst case of a page of 100 objects at 10 each, or of a smaller one.
    async fn take(&mut self) -> Result<(Spending, u64), NoMoney> {
        let purse = self.purse.clone();
        let taking = tokio::spawn(async move {
            let bid = Bid { app: "one", crawl: CRAWL, usual: 1_000, least: 50 };
            let fit = |micros: u64| Some(micros / 10).filter(|size| *size >= 5).map(|size| (size, size * 10));
            purse.take(bid, 100, fit).await
        });
        while !taking.is_finished() {
            tokio::task::yield_now().await;
            self.exchange();
        }
        taking.await.unwrap()
    }

    fn app(&self) -> api::model::AppStatus {
        self.ledger.status().apps[0].1
    }
}

fn answered(date: u64) -> RateInfo {
    RateInfo { delivery: Delivery::Answered(200), date: Some(date), ..RateInfo::not_sent() }
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_its_worst_case_and_what_it_did_not_cost_pays_for_the_next() {
    let mut world = World::new(100_000);
    let (mut spending, size) = world.take().await.unwrap();
    assert_eq!((size, world.app().held), (100, 1_000));
    assert!(spending.send());
    spending.settle(&answered(NOW), 300);
    // 700 are left: only 300 more are held for the next one.
    let (spending, _) = world.take().await.unwrap();
    assert_eq!((world.app().spent, world.app().held), (300, 1_000));
    drop(spending);
    let (mut spending, _) = world.take().await.unwrap();
    assert_eq!(world.app().held, 1_000, "what was not sent was not spent");
    assert!(spending.send());
    drop(spending);
    world.exchange();
    assert_eq!((world.app().spent, world.app().lost, world.app().held), (300, 1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn near_the_limit_pages_get_smaller_and_at_it_jobs_wait_for_the_cycle() {
    let mut world = World::new(2_500);
    let mut sizes = Vec::new();
    let refused = loop {
        match world.take().await {
            Ok((mut spending, size)) => {
                assert!(spending.send());
                spending.settle(&answered(NOW), size * 10);
                sizes.push(size);
            }
            Err(refused) => break refused,
        }
    };
    assert!(sizes.iter().all(|size| (5..100).contains(size)) && sizes.len() > 4, "{sizes:?}");
    world.exchange();
    assert!(world.app().spent > 2_400, "{:?}", world.app());
    assert!(refused.what.contains("app one has less than"), "{refused:?}");
    assert_eq!(world.purse.room(["one"].into_iter(), 8), 0);
    assert!(!world.purse.is_date_due("one"));
    assert!(world.take().await.is_err(), "without another reservation");
    assert!(world.purse.next_report(SESSION).is_none(), "no tight retry");
    // The cycle is over by the local clock: one job may ask for the date.
    world.clock.advance(Duration::from_secs(CYCLE));
    assert_eq!(world.purse.room(["one"].into_iter(), 8), 1);
    assert!(world.purse.is_date_due("one") && !world.purse.is_date_due("one"));
    world.purse.see("one", NOW + CYCLE);
    world.purse.ask_again("one");
    assert_eq!(world.take().await.unwrap().1, 62, "a quarter of what is left");
    assert_eq!(world.purse.room(["one"].into_iter(), 8), 8);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_follows_a_wait_is_over_when_its_own_time_comes() {
    let mut world = World::new(2_000);
    // The old cycle is used up, and the network is asked at its end.
    while let Ok((mut spending, size)) = world.take().await {
        assert!(spending.send());
        spending.settle(&answered(NOW), size * 10);
    }
    world.exchange();
    world.clock.advance(Duration::from_secs(CYCLE - 100));
    assert!(world.purse.is_date_due("one"));
    world.purse.see("one", NOW + CYCLE - 100);
    world.purse.ask_again("one");
    // Until the margin is over, a request has to fit the old cycle too.
    let refused = world.take().await.unwrap_err();
    assert!(refused.after <= Duration::from_secs(10), "{refused:?}");
    assert!(!world.purse.is_date_due("one"));
    world.clock.advance(Duration::from_secs(10));
    assert!(world.purse.is_date_due("one"), "though it was asked 10 s ago");
    let refused = world.take().await.unwrap_err();
    assert!(refused.after <= Duration::from_secs(5), "the network is asked soon again: {refused:?}");
    world.purse.see("one", NOW + CYCLE - 90);
    world.purse.ask_again("one");
    assert!(world.take().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_a_session_that_is_over_is_not_spent_by_the_next_one() {
    let mut world = World::new(100_000);
    let (mut sent, _) = world.take().await.unwrap();
    let (mut late, _) = world.take().await.unwrap();
    assert!(sent.send());
    world.purse.lose();
    assert!(!late.send(), "its session is over");
    assert!(world.take().await.unwrap_err().what.contains("no session"));
    world.purse.begin(SessionId(6));
    sent.settle(&answered(NOW), 10);
    drop(late);
    let report = world.purse.next_report(SessionId(6)).unwrap();
    assert_eq!((report.sequence, report.apps.len(), report.changes.len()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_before_it_sent_gives_the_amount_up() {
    let mut world = World::new(100_000);
    let (mut spending, _) = world.take().await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    assert!(!spending.send());
    drop(spending);
    let (mut spending, _) = world.take().await.unwrap();
    world.clock.set_wall(Duration::from_secs(NOW - 5));
    assert!(!spending.send(), "nobody knows how long it took");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_gives_everything_back() {
    let mut world = World::new(100_000);
    let (mut spending, _) = world.take().await.unwrap();
    assert!(spending.send());
    spending.settle(&answered(NOW), 100);
    let finishing = tokio::spawn({
        let purse = world.purse.clone();
        async move { purse.finish().await }
    });
    while !finishing.is_finished() {
        tokio::task::yield_now().await;
        world.exchange();
    }
    assert_eq!((world.app().spent, world.app().held), (100, 0));
    assert!(world.take().await.is_err(), "nothing is taken any more");
}

#[tokio::test(start_paused = true)]
async fn a_date_far_ahead_of_the_local_clock_turns_no_cycle() {
    let mut world = World::new(1_000);
    for (date, cycle) in [(NOW + 86_401, None), (NOW, Some(1_000)), (NOW + 86_400, Some(1_024))] {
        world.purse.see("one", date);
        let (spending, _) = world.take().await.unwrap();
        drop(spending);
        let mut held = world.purse.lock();
        held.held.values_mut().for_each(|held| held.share.give_back(0));
        drop(held);
        world.exchange();
        assert_eq!(world.app().cycle, cycle);
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_ledger_that_does_not_answer() {
    let world = World::new(1_000);
    let bid = Bid { app: "one", crawl: CRAWL, usual: 10, least: 10 };
    let none = world.purse.take(bid, 1, |_| None).await;
    assert!(none.is_err_and(|none| none.what.contains("has not answered")));
    assert!(world.purse.lock().held.values().all(|held| held.waiters.is_empty()));
}
