//! Limits at their edges, terms that change, and a ledger that contradicts itself.

use super::tests::{HOUR, ledger, outcome, send, settle, status, terms, want};
use super::*;
use crate::model::CycleRule;

fn block(spend: &mut Spend, session: u64, app: &str, crawl: u64, held: u64) {
    spend.blocks.insert((SessionId(session), app.into(), CrawlId(crawl)), held);
}

#[test]
fn reports_are_numbered_from_one_and_as_long_as_allowed_and_no_longer() {
    let mut spend = ledger(1000);
    let report = |sequence, dates: usize| SpendReport {
        sequence,
        apps: Vec::new(),
        dates: (0..dates).map(|_| ("one".into(), 10)).collect(),
        changes: Vec::new(),
    };
    let none = spend.report(SessionId(1), &report(0, 0));
    assert!(matches!(none, Err(SpendRefusal::OutOfTurn { got: 0, last: 0, .. })), "{none:?}");
    let long = spend.report(SessionId(1), &report(1, MAX_APPS + 1));
    assert!(matches!(long, Err(SpendRefusal::TooMany { .. })), "{long:?}");
    assert!(spend.report(SessionId(1), &report(1, MAX_APPS)).is_ok());
    assert!(spend.set_app(&"x".repeat(MAX_APP_NAME), terms(1)).is_ok(), "the longest name");
}

#[test]
fn in_a_full_ledger_what_is_there_can_still_change() {
    let mut spend = ledger(1000);
    // An app that no session names would make room.
    let apps = (1..MAX_APPS).map(|n| (format!("app{n}").into(), terms(1)));
    let apps = apps.chain([("one".into(), terms(1000))]).collect();
    let report = SpendReport { sequence: 1, apps, dates: Vec::new(), changes: Vec::new() };
    spend.report(SessionId(1), &report).unwrap();
    for n in 0..MAX_CRAWLS.max(MAX_SESSIONS) as u64 {
        let _full = (spend.set_crawl(CrawlId(100 + n), None), spend.open_session(SessionId(100 + n)));
    }
    assert!(spend.set_app("one", terms(500)).is_ok() && spend.set_app("new", terms(1)).is_err());
    assert!(spend.set_crawl(CrawlId(7), Some(90)).is_ok() && spend.set_crawl(CrawlId(8), None).is_err());
    assert!(spend.open_session(SessionId(1)).is_ok() && spend.open_session(SessionId(3)).is_err());
    let status = spend.status();
    let limit = status.apps.iter().find(|(name, _)| **name == *"one").map(|(_, app)| app.limit);
    assert_eq!((limit, status.of_crawl(CrawlId(7)).unwrap().limit), (Some(500), Some(90)));
}

#[test]
fn all_that_is_left_of_a_crawl_is_granted_and_who_waits_is_told_whether_some_of_it_may_come_back() {
    let mut spend = ledger(1000);
    spend.set_crawl(CrawlId(7), Some(50)).unwrap();
    assert_eq!(outcome(&mut spend, 1, 1, 10, want(50, 50)), Outcome::Granted { amount: 50 });
    let wait = |held| Outcome::Wait { of: Exhausted::Crawl, until: None, held };
    assert_eq!(outcome(&mut spend, 2, 1, 10, want(1, 1)), wait(true));
    outcome(&mut spend, 1, 2, 10, settle(50, 0, 0));
    assert_eq!(outcome(&mut spend, 2, 2, 10, want(1, 1)), wait(false));
}

#[test]
fn status_says_when_the_next_cycle_begins() {
    let mut spend = ledger(100);
    assert_eq!((status(&spend).cycle, status(&spend).next_cycle), (None, None));
    outcome(&mut spend, 1, 1, 3 * HOUR + 10, want(1, 1));
    assert_eq!((status(&spend).cycle, status(&spend).next_cycle), (Some(3), Some(4 * HOUR)));
}

#[test]
fn what_is_held_over_a_turn_is_waited_for_until_the_next_cycle_and_not_until_the_margin_is_over() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(100, 100));
    let wait = Outcome::Wait { of: Exhausted::App, until: Some(2 * HOUR), held: true };
    assert_eq!(outcome(&mut spend, 2, 1, HOUR + 1, want(1, 1)), wait);
}

#[test]
fn other_cycles_begin_with_the_next_date_and_what_was_spent_stays() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 5 * HOUR, want(30, 30));
    outcome(&mut spend, 1, 2, 5 * HOUR, settle(30, 0, 0));
    spend.set_app("one", terms(100)).unwrap();
    assert_eq!(status(&spend).cycle, Some(5), "the same terms change nothing");
    let daily = CycleRule::Every { seconds: 24 * HOUR };
    spend.set_app("one", AppTerms { cycle: daily, ..terms(100) }).unwrap();
    assert_eq!((status(&spend).cycle, status(&spend).spent), (None, 30));
    // An earlier date than the latest one of the old rule.
    outcome(&mut spend, 1, 3, 4 * HOUR, want(1, 1));
    assert_eq!((status(&spend).cycle, status(&spend).spent), (Some(0), 30));
}

#[test]
fn a_raised_limit_is_marked_again_and_the_same_or_a_lower_one_is_not() {
    let mut spend = ledger(100);
    spend.set_crawl(CrawlId(7), Some(200)).unwrap();
    let mut sequence = 0;
    let mut spent = |spend: &mut Spend, amount| {
        let marks = [want(amount, amount), settle(amount, 0, 0)].map(|change| {
            sequence += 1;
            send(spend, 1, sequence, 10, change).marks
        });
        marks.concat().len()
    };
    assert_eq!((spent(&mut spend, 79), spent(&mut spend, 1)), (0, 1), "at 80 % and not before");
    for (limit, marks) in [(100, 0), (90, 0), (95, 1), (95, 0)] {
        spend.set_app("one", terms(limit)).unwrap();
        assert_eq!(spent(&mut spend, 1), marks, "{limit}");
    }
    let mut spend = ledger(1000);
    spend.set_crawl(CrawlId(7), Some(100)).unwrap();
    sequence = 0;
    let mut spent = |spend: &mut Spend, amount| {
        let marks = [want(amount, amount), settle(amount, 0, 0)].map(|change| {
            sequence += 1;
            send(spend, 1, sequence, 10, change).marks
        });
        marks.concat().len()
    };
    assert_eq!((spent(&mut spend, 79), spent(&mut spend, 1)), (0, 1));
    for (limit, marks) in [(Some(100), 0), (Some(90), 0), (Some(95), 1), (Some(95), 0), (None, 0)] {
        spend.set_crawl(CrawlId(7), limit).unwrap();
        assert_eq!(spent(&mut spend, 1), marks, "{limit:?}");
    }
    spend.set_crawl(CrawlId(7), Some(100)).unwrap();
    assert_eq!(spent(&mut spend, 1), 1, "it had no limit before");
}

#[test]
fn a_crawls_limit_that_is_lowered_below_what_it_spent_grants_nothing_and_breaks_nothing() {
    let mut spend = ledger(1000);
    outcome(&mut spend, 1, 1, 10, want(60, 60));
    outcome(&mut spend, 1, 2, 10, settle(40, 0, 0));
    spend.set_crawl(CrawlId(7), Some(50)).unwrap();
    spend.check().unwrap();
    assert!(matches!(outcome(&mut spend, 2, 1, 10, want(1, 1)), Outcome::Wait { of: Exhausted::Crawl, .. }));
    spend.end_session(SessionId(1));
    spend.check().unwrap();
    let status = spend.status();
    let money = status.of_crawl(CrawlId(7)).unwrap();
    assert_eq!((money.limit, money.spent, money.held), (Some(50), 60, 0));
}

#[test]
fn a_ledger_that_contradicts_itself_is_named() {
    let broken = |change: fn(&mut Spend)| {
        let mut spend = ledger(100);
        spend.set_crawl(CrawlId(7), Some(90)).unwrap();
        outcome(&mut spend, 1, 1, 10, want(20, 20));
        change(&mut spend);
        spend.check().unwrap_err()
    };
    let said = broken(|spend| block(spend, 1, "one", 7, 21));
    assert_eq!(said, "TWM-X1: sessions hold 21 of app one, and its book says 20");
    let said = broken(|spend| block(spend, 1, "gone", 7, 1));
    assert_eq!(said, "TWM-X2: sessions hold 21 of crawl 7, and its book says 20");
    let said = broken(|spend| drop(spend.sessions.remove(&SessionId(1))));
    assert_eq!(said, "TWM-X1: session 1 has ended and holds a block");
    let said = broken(|spend| {
        block(spend, 1, "one", 7, 101);
        spend.apps.get_mut("one").unwrap().hold(81);
    });
    assert_eq!(said, "TWM-X1: app one may have spent 101 of 100");
    let said = broken(|spend| {
        block(spend, 1, "one", 7, 91);
        spend.apps.get_mut("one").unwrap().hold(71);
        spend.crawls.get_mut(&CrawlId(7)).unwrap().held = 91;
    });
    assert_eq!(said, "TWM-X2: crawl 7 may have spent 91 of 90");
    // At the limits nothing is wrong.
    let mut spend = ledger(100);
    spend.set_crawl(CrawlId(7), Some(100)).unwrap();
    assert_eq!(outcome(&mut spend, 1, 1, 10, want(100, 100)), Outcome::Granted { amount: 100 });
}

#[test]
fn a_crawl_that_is_refused_for_its_limit_is_marked_once() {
    let mut spend = ledger(1000);
    spend.set_crawl(CrawlId(7), Some(50)).unwrap();
    outcome(&mut spend, 1, 1, 10, want(30, 30));
    let mark = Mark::Crawl { crawl: CrawlId(7), percent: 100 };
    assert_eq!(send(&mut spend, 1, 2, 10, want(30, 30)).marks, [mark]);
    assert_eq!(send(&mut spend, 1, 3, 10, want(30, 30)).marks, []);
}
