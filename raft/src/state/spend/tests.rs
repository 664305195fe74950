//! Rules of the ledger, one by one.

use super::super::persist::Changes;
use super::*;
use crate::model::{AppStatus, CycleRule, MAX_CHANGES};

pub(super) const HOUR: u64 = 3600;

pub(super) fn terms(limit: u64) -> AppTerms {
    AppTerms { limit, cycle: CycleRule::Every { seconds: HOUR }, margin: 300 }
}

pub(super) fn ledger(limit: u64) -> Spend {
    let mut spend = Spend::default();
    spend.set_app("one", terms(limit)).unwrap();
    spend.set_crawl(CrawlId(7), None).unwrap();
    for session in [1, 2] {
        spend.open_session(SessionId(session)).unwrap();
    }
    spend
}

pub(super) fn want(least: u64, wanted: u64) -> Change {
    Change::Reserve { app: "one".into(), crawl: CrawlId(7), least, wanted }
}

pub(super) fn settle(spent: u64, lost: u64, returned: u64) -> Change {
    Change::Settle { app: "one".into(), crawl: CrawlId(7), spent, lost, returned }
}

pub(super) fn send(spend: &mut Spend, session: u64, sequence: u64, date: u64, change: Change) -> SpendAnswer {
    let report =
        SpendReport { sequence, apps: Vec::new(), dates: vec![("one".into(), date)], changes: vec![change] };
    let reported = spend.report(SessionId(session), &report).unwrap();
    spend.check().unwrap();
    reported
}

pub(super) fn outcome(spend: &mut Spend, session: u64, sequence: u64, date: u64, change: Change) -> Outcome {
    send(spend, session, sequence, date, change).outcomes[0]
}

pub(super) fn status(spend: &Spend) -> AppStatus {
    spend.status().apps[0].1
}

#[test]
fn a_report_that_is_sent_again_changes_nothing_and_gets_the_same_answer() {
    let mut spend = ledger(1000);
    let first = send(&mut spend, 1, 1, 10, want(10, 100));
    let before = spend.clone();
    assert_eq!(send(&mut spend, 1, 1, 10, want(10, 100)).outcomes, first.outcomes);
    assert!(spend.is_same(&before));
    let skipped = SpendReport { sequence: 3, apps: Vec::new(), dates: Vec::new(), changes: Vec::new() };
    assert!(matches!(
        spend.report(SessionId(1), &skipped),
        Err(SpendRefusal::OutOfTurn { got: 3, last: 1, .. })
    ));
    assert!(matches!(spend.report(SessionId(9), &skipped), Err(SpendRefusal::NoSession(_))));
    assert!(spend.is_same(&before));
}

#[test]
fn near_the_limit_grants_get_smaller_and_at_it_they_wait_for_the_cycle() {
    let mut spend = ledger(1000);
    let mut amounts = Vec::new();
    for sequence in 1.. {
        match outcome(&mut spend, 1, sequence, HOUR + 10, want(10, 400)) {
            Outcome::Granted { amount } => amounts.push(amount),
            refused => {
                let wait = Outcome::Wait { of: Exhausted::App, until: Some(2 * HOUR), held: true };
                assert_eq!(refused, wait);
                break;
            }
        }
    }
    assert!(amounts.is_sorted_by(|a, b| a >= b) && amounts[0] == 250, "{amounts:?}");
    assert!(amounts.iter().sum::<u64>() > 990);
}

#[test]
fn what_is_returned_can_be_granted_again_and_what_is_lost_cannot() {
    let mut spend = ledger(100);
    assert_eq!(outcome(&mut spend, 1, 1, 10, want(100, 100)), Outcome::Granted { amount: 100 });
    assert_eq!(outcome(&mut spend, 1, 2, 10, settle(20, 30, 50)), Outcome::Settled { excess: 0 });
    assert_eq!((status(&spend).spent, status(&spend).lost, status(&spend).held), (20, 30, 0));
    assert!(matches!(outcome(&mut spend, 2, 1, 10, want(51, 51)), Outcome::Wait { held: false, .. }));
    assert_eq!(outcome(&mut spend, 2, 2, 10, want(50, 50)), Outcome::Granted { amount: 50 });
}

#[test]
fn a_session_that_ends_has_spent_what_it_held_and_its_reports_are_refused() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(40, 40));
    outcome(&mut spend, 2, 1, 10, want(30, 30));
    spend.end_session(SessionId(1));
    spend.check().unwrap();
    assert_eq!((status(&spend).lost, status(&spend).held), (40, 30));
    let late =
        SpendReport { sequence: 2, apps: Vec::new(), dates: Vec::new(), changes: vec![settle(1, 0, 39)] };
    assert_eq!(spend.report(SessionId(1), &late), Err(SpendRefusal::NoSession(SessionId(1))));
    let money = &spend.status().crawls[0].1;
    assert_eq!((money.limit, money.spent, money.held), (None, 40, 30));
}

#[test]
fn what_is_held_or_lost_at_the_turn_counts_in_both_cycles_and_what_is_spent_in_one() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(60, 60));
    outcome(&mut spend, 1, 2, 20, settle(30, 10, 0));
    // The turn: 20 are held, 10 lost.
    assert!(matches!(outcome(&mut spend, 2, 1, HOUR + 300, want(71, 71)), Outcome::Wait { .. }));
    assert_eq!(outcome(&mut spend, 2, 2, HOUR + 300, want(70, 70)), Outcome::Granted { amount: 70 });
    spend.end_session(SessionId(1));
    spend.end_session(SessionId(2));
    spend.open_session(SessionId(3)).unwrap();
    // The next turn: 90 were lost in the cycle before, and the 10 of the first cycle are over.
    assert!(matches!(outcome(&mut spend, 3, 1, 2 * HOUR + 300, want(11, 11)), Outcome::Wait { .. }));
    assert_eq!(outcome(&mut spend, 3, 2, 2 * HOUR + 300, want(10, 10)), Outcome::Granted { amount: 10 });
    assert!(matches!(
        outcome(&mut spend, 3, 3, 3 * HOUR + 300, want(90, 90)),
        Outcome::Granted { amount: 90 }
    ));
}

#[test]
fn until_the_margin_is_over_a_grant_fits_the_old_cycle_too() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(90, 90));
    outcome(&mut spend, 1, 2, 20, settle(90, 0, 0));
    let refused = outcome(&mut spend, 1, 3, HOUR + 1, want(20, 20));
    assert_eq!(refused, Outcome::Wait { of: Exhausted::App, until: Some(HOUR + 300), held: false });
    assert_eq!(outcome(&mut spend, 1, 4, HOUR + 2, want(10, 20)), Outcome::Granted { amount: 10 });
    // A date from the middle of the old cycle, which another session reports late, does not end the margin.
    assert!(matches!(outcome(&mut spend, 2, 1, 3000, want(1, 1)), Outcome::Wait { .. }));
    assert!(matches!(outcome(&mut spend, 1, 5, HOUR + 299, want(1, 1)), Outcome::Wait { .. }));
    assert!(matches!(outcome(&mut spend, 1, 6, HOUR + 300, want(80, 80)), Outcome::Granted { amount: 80 }));
}

#[test]
fn a_cycle_never_turns_back() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 5 * HOUR, want(10, 10));
    outcome(&mut spend, 1, 2, 4 * HOUR, settle(10, 0, 0));
    outcome(&mut spend, 2, 1, 0, want(10, 10));
    assert_eq!((status(&spend).cycle, status(&spend).spent), (Some(5), 10));
}

#[test]
fn a_crawl_has_a_limit_over_all_cycles_and_apps() {
    let mut spend = ledger(1000);
    spend.set_app("two", terms(1000)).unwrap();
    spend.set_crawl(CrawlId(7), Some(50)).unwrap();
    assert_eq!(outcome(&mut spend, 1, 1, 10, want(40, 40)), Outcome::Granted { amount: 40 });
    outcome(&mut spend, 1, 2, 5 * HOUR, settle(35, 0, 5));
    let by_two = Change::Reserve { app: "two".into(), crawl: CrawlId(7), least: 16, wanted: 16 };
    let refused = outcome(&mut spend, 1, 3, 5 * HOUR, by_two);
    assert_eq!(refused, Outcome::Wait { of: Exhausted::Crawl, until: None, held: false });
    spend.set_crawl(CrawlId(7), Some(60)).unwrap();
    let by_two = Change::Reserve { app: "two".into(), crawl: CrawlId(7), least: 16, wanted: 16 };
    assert_eq!(outcome(&mut spend, 1, 4, 5 * HOUR, by_two), Outcome::Granted { amount: 16 });
    spend.close_crawl(CrawlId(7));
    assert_eq!(spend.status().crawls.len(), 1, "it is still held for");
    assert_eq!(outcome(&mut spend, 1, 5, 5 * HOUR, want(1, 1)), Outcome::Unknown);
    spend.end_session(SessionId(1));
    assert_eq!(spend.status().crawls.len(), 0);
    assert_eq!(outcome(&mut spend, 2, 1, 5 * HOUR, want(1, 1)), Outcome::Unknown);
    assert_eq!(spend.status().crawls.len(), 0, "a late report does not bring it back");
}

#[test]
fn each_mark_is_reported_once_in_a_cycle() {
    let mut spend = ledger(100);
    spend.set_crawl(CrawlId(7), Some(150)).unwrap();
    let app = |percent, cycle| Mark::App { app: "one".into(), cycle: Some(cycle), percent };
    assert!(send(&mut spend, 1, 1, 10, want(80, 100)).marks.is_empty());
    assert_eq!(send(&mut spend, 1, 2, 10, settle(80, 0, 0)).marks, [app(80, 0)]);
    assert_eq!(send(&mut spend, 1, 2, 10, settle(80, 0, 0)).marks, [app(80, 0)], "the answer was lost");
    assert!(send(&mut spend, 1, 3, 10, want(1, 1)).marks.is_empty());
    assert!(send(&mut spend, 1, 4, 10, settle(1, 0, 0)).marks.is_empty());
    assert_eq!(send(&mut spend, 1, 5, 10, want(30, 30)).marks, [app(100, 0)]);
    assert!(send(&mut spend, 1, 6, 10, want(30, 30)).marks.is_empty());
    assert!(send(&mut spend, 1, 7, HOUR + 300, want(60, 60)).marks.is_empty());
    let marks = send(&mut spend, 1, 8, HOUR + 300, settle(60, 0, 0)).marks;
    assert_eq!(marks, [Mark::Crawl { crawl: CrawlId(7), percent: 80 }]);
}

fn name(spend: &mut Spend, session: u64, terms: AppTerms) -> AppStatus {
    let report = SpendReport {
        sequence: 1,
        apps: vec![("one".into(), terms)],
        dates: Vec::new(),
        changes: Vec::new(),
    };
    spend.open_session(SessionId(session)).unwrap();
    spend.report(SessionId(session), &report).unwrap();
    status(spend)
}

#[test]
fn of_the_limits_that_nodes_name_the_smallest_holds_until_its_session_ends() {
    let mut spend = ledger(5);
    assert_eq!(name(&mut spend, 11, terms(100)).limit, 100);
    assert_eq!(name(&mut spend, 12, terms(60)).limit, 60);
    assert_eq!(name(&mut spend, 13, terms(200)).limit, 60);
    spend.end_session(SessionId(12));
    assert_eq!(status(&spend).limit, 100);
    spend.end_session(SessionId(11));
    spend.end_session(SessionId(13));
    assert_eq!(status(&spend).limit, 200, "it stays when nobody names it any more");
}

#[test]
fn while_nodes_name_different_cycles_nothing_is_granted_and_nothing_turns() {
    let mut spend = ledger(100);
    name(&mut spend, 11, terms(100));
    assert_eq!(outcome(&mut spend, 1, 1, HOUR, want(30, 30)), Outcome::Granted { amount: 30 });
    let daily = AppTerms { cycle: CycleRule::Every { seconds: 24 * HOUR }, ..terms(100) };
    assert!(name(&mut spend, 12, daily).disputed);
    assert!(matches!(
        outcome(&mut spend, 1, 2, HOUR + 1, want(1, 1)),
        Outcome::Wait { of: Exhausted::App, .. }
    ));
    assert_eq!((status(&spend).cycle, status(&spend).held), (Some(1), 30));
    spend.end_session(SessionId(12));
    assert!(!status(&spend).disputed);
    assert!(matches!(outcome(&mut spend, 1, 3, HOUR + 2, want(1, 1)), Outcome::Granted { .. }));
}

#[test]
fn the_book_of_an_app_goes_only_when_there_is_no_room_and_all_that_it_spent_is_over() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, HOUR, want(30, 30));
    outcome(&mut spend, 1, 2, HOUR, settle(10, 10, 10));
    for n in 1..MAX_APPS {
        spend.set_app(&format!("app{n}"), terms(1)).unwrap();
    }
    let seen = |spend: &mut Spend, date: u64| {
        spend.apps.values_mut().next().unwrap().see(date);
        // Those that were never used make room first.
        (1..MAX_APPS).for_each(|n| spend.apps.get_mut(&*format!("app{n}")).unwrap().hold(1));
    };
    seen(&mut spend, 3 * HOUR + 299);
    assert!(spend.set_app("new", terms(1)).is_err());
    seen(&mut spend, 3 * HOUR + 300);
    assert!(spend.set_app("new", terms(1)).is_ok());
    assert!(!spend.status().apps.iter().any(|(name, _)| &**name == "one"));
}

#[test]
fn a_crawl_at_its_limit_is_at_it_until_something_comes_back() {
    let mut spend = ledger(1000);
    spend.set_crawl(CrawlId(7), Some(50)).unwrap();
    outcome(&mut spend, 1, 1, 10, want(45, 45));
    assert!(!spend.is_at_limit(CrawlId(7)));
    assert!(matches!(
        outcome(&mut spend, 2, 1, 10, want(10, 10)),
        Outcome::Wait { of: Exhausted::Crawl, .. }
    ));
    assert!(spend.is_at_limit(CrawlId(7)) && spend.status().crawls[0].1.at_limit);
    outcome(&mut spend, 1, 2, 10, settle(30, 0, 15));
    assert!(!spend.is_at_limit(CrawlId(7)));
    spend.stop_crawl(CrawlId(7));
    assert_eq!(outcome(&mut spend, 2, 2, 10, want(1, 1)), Outcome::Unknown);
    assert_eq!(spend.status().crawls[0].1.spent, 30, "what a cancelled crawl spent stays known");
}

#[test]
fn status_says_which_app_a_crawl_waits_for_and_until_when() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, HOUR, want(95, 95));
    outcome(&mut spend, 2, 1, HOUR, want(10, 10));
    assert_eq!(spend.status().crawls[0].1.waits_for, [("one".into(), Some(2 * HOUR))]);
    outcome(&mut spend, 1, 2, HOUR, settle(20, 0, 75));
    assert_eq!(spend.status().crawls[0].1.waits_for, []);
}

#[test]
fn more_than_the_worst_case_is_counted_and_said() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(40, 40));
    assert_eq!(outcome(&mut spend, 1, 2, 10, settle(130, 0, 0)), Outcome::Settled { excess: 90 });
    assert_eq!((status(&spend).spent, status(&spend).held), (130, 0));
    assert!(matches!(outcome(&mut spend, 1, 3, 10, want(1, 1)), Outcome::Wait { .. }));
    // More is given back than is held: nothing comes of it.
    let huge = settle(u64::MAX, u64::MAX, u64::MAX);
    assert!(matches!(outcome(&mut spend, 1, 4, 10, huge), Outcome::Settled { .. }));
}

#[test]
fn a_lowered_limit_grants_nothing_until_less_is_spent() {
    let mut spend = ledger(100);
    outcome(&mut spend, 1, 1, 10, want(60, 60));
    spend.set_app("one", terms(50)).unwrap();
    spend.check().unwrap();
    assert!(matches!(outcome(&mut spend, 1, 2, 10, want(1, 1)), Outcome::Wait { .. }));
    outcome(&mut spend, 1, 3, 10, settle(0, 0, 60));
    assert!(matches!(outcome(&mut spend, 1, 4, 10, want(50, 50)), Outcome::Granted { amount: 50 }));
}

#[test]
fn the_ledger_is_bounded() {
    let mut spend = ledger(u64::MAX);
    for n in 0..MAX_APPS as u64 * 2 {
        let _full = spend.set_app(&format!("app{n}"), terms(1));
    }
    assert_eq!(spend.status().apps.len(), MAX_APPS);
    assert!(spend.set_app(&"x".repeat(65), terms(1)).is_err());
    for crawl in 0..2 * MAX_CRAWLS as u64 {
        let _full = spend.set_crawl(CrawlId(crawl), None);
    }
    assert_eq!(spend.status().crawls.len(), MAX_CRAWLS);
    // Those that a session names are not dropped for others.
    let apps = (0..4).map(|app| (format!("app{app}").into(), terms(u64::MAX / 8))).collect();
    let report = SpendReport { sequence: 1, apps, dates: Vec::new(), changes: Vec::new() };
    spend.report(SessionId(2), &report).unwrap();
    for n in 0..MAX_APPS as u64 * 2 {
        let _full = spend.set_app(&format!("other{n}"), terms(1));
    }
    assert_eq!(spend.status().apps.len(), MAX_APPS);
    let reserve = |n: u64| Change::Reserve {
        app: format!("app{}", n % 4).into(),
        crawl: CrawlId(n / 4 % 4000),
        least: 1,
        wanted: 1,
    };
    let mut outcomes = Vec::new();
    for sequence in 1..=MAX_BLOCKS as u64 / 64 + 2 {
        let changes = (0..MAX_CHANGES as u64).map(|n| reserve(sequence * 64 + n)).collect();
        let report = SpendReport { sequence, apps: Vec::new(), dates: Vec::new(), changes };
        outcomes.extend(spend.report(SessionId(1), &report).unwrap().outcomes);
    }
    assert_eq!((spend.blocks.len(), outcomes.last()), (MAX_BLOCKS, Some(&Outcome::Full)));
    let changes = vec![reserve(1); MAX_CHANGES + 1];
    let report =
        SpendReport { sequence: MAX_BLOCKS as u64 / 64 + 3, apps: Vec::new(), dates: Vec::new(), changes };
    assert!(matches!(spend.report(SessionId(1), &report), Err(SpendRefusal::TooMany { .. })));
    for session in 3..2 * MAX_SESSIONS as u64 {
        let _full = spend.open_session(SessionId(session));
    }
    assert_eq!(spend.sessions.len(), MAX_SESSIONS);
}

#[test]
fn a_ledger_that_is_stored_and_read_again_is_the_same() {
    let mut spend = ledger(1000);
    spend.set_app("two", AppTerms { cycle: CycleRule::Monthly { day: 12 }, ..terms(5) }).unwrap();
    outcome(&mut spend, 1, 1, 10, want(10, 100));
    outcome(&mut spend, 2, 1, HOUR + 10, want(10, 100));
    outcome(&mut spend, 1, 2, HOUR + 10, settle(10, 20, 0));
    let store = storage::state::MemoryStore::new();
    let write = |spend: &mut Spend| {
        let mut changes = Changes::default();
        spend.freeze(&mut changes);
        let mut batch = storage::state::WriteBatch::default();
        changes.add_to(&mut batch);
        storage::state::StateStore::write(&store, batch).unwrap();
        let read = Spend::load(&store).unwrap();
        assert!(read.is_same(spend) && read.sum() == spend.sum());
        read
    };
    let mut read = write(&mut spend);
    // And it goes on in the same way.
    for ledger in [&mut read, &mut spend] {
        outcome(ledger, 1, 3, 2 * HOUR, want(1, 50));
        ledger.end_session(SessionId(2));
        ledger.close_crawl(CrawlId(7));
        ledger.end_session(SessionId(1));
    }
    assert!(read.is_same(&spend));
    assert!(write(&mut spend).is_same(&read), "what is over is removed from the store");
}
