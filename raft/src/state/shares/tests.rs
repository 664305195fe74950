//! Shares step by step.

use super::*;
use crate::model::{ShareEvent, WindowSeen};

const MINUTE: u64 = 60_000;

/// The state, driven by hand.
struct Hand {
    shares: Shares,
    now: u64,
    last: [u64; 4],
}

impl Hand {
    fn new() -> Self {
        Self { shares: Shares::default(), now: 0, last: [0; 4] }
    }

    fn report(&mut self, session: u64, events: Vec<ShareEvent>, wanted: u32) -> ShareAnswer {
        self.last[session as usize] += 1;
        let budgets = vec![BudgetReport { budget: "token".into(), events, wanted }];
        let sequence = self.last[session as usize];
        let report = ShareReport { session: SessionId(session), sequence, budgets };
        let moment = Moment { term: 1, process: 1, at: self.now };
        self.shares.report(&report, moment).unwrap().budgets[0]
    }

    fn ask(&mut self, session: u64, wanted: u32) -> u32 {
        self.report(session, Vec::new(), wanted).granted
    }

    /// Sets a window by a probe of this session; returns its epoch.
    fn probe(&mut self, session: u64, remaining: u64, window: u64) -> u64 {
        let probe = self.report(session, Vec::new(), 1);
        assert_eq!(probe.granted, 1);
        let events = vec![spent(probe.epoch, 1, window), seen(probe.epoch, remaining, window)];
        self.report(session, events, 0).epoch
    }

    fn left(&self) -> Option<u64> {
        self.shares.budget("token").unwrap().left
    }
}

fn spent(epoch: u64, requests: u32, window: u64) -> ShareEvent {
    ShareEvent::Spent { epoch, requests, window: Some(window) }
}

fn seen(epoch: u64, remaining: u64, window: u64) -> ShareEvent {
    let (limit, ends_in_ms, window) = (Some(300), MINUTE, Some(window));
    ShareEvent::Seen(WindowSeen { epoch, remaining, limit, ends_in_ms, window })
}

#[test]
fn what_is_held_when_a_window_begins_may_arrive_in_it_and_what_was_not_sent_can_be_granted_again() {
    let mut hand = Hand::new();
    let first = hand.probe(1, 299, 100);
    assert_eq!((hand.ask(1, 4), hand.ask(2, 4)), (4, 4));
    // A request of the second session meets the next window, which nobody expected yet.
    let events = vec![spent(first, 1, 160), seen(first, 250, 160)];
    let next = hand.report(2, events, 0).epoch;
    assert!(next > first);
    assert_eq!(hand.left(), Some(250 - 4 - 3));
    // The first one sent two in the old window, one in the new, and one never.
    let sent = vec![spent(first, 2, 100), spent(first, 1, 160)];
    hand.report(1, sent, 0);
    assert_eq!(hand.left(), Some(250 - 1 - 1 - 3));
    hand.report(1, vec![ShareEvent::Returned { epoch: first, requests: 1 }], 0);
    assert_eq!(hand.left(), Some(250 - 1 - 3));
}

#[test]
fn fewer_left_than_are_held_leaves_nothing_until_as_many_were_given_back() {
    let mut hand = Hand::new();
    let first = hand.probe(1, 299, 100);
    assert_eq!(hand.ask(1, 4), 4);
    let events = vec![seen(first, 2, 160)];
    hand.report(2, events, 0);
    assert_eq!((hand.left(), hand.ask(2, 1)), (Some(0), 0));
    hand.report(1, vec![ShareEvent::Returned { epoch: first, requests: 3 }], 0);
    assert_eq!((hand.left(), hand.ask(2, 4)), (Some(1), 1));
}

#[test]
fn what_a_dead_session_held_counts_in_every_window_in_which_it_can_arrive() {
    let mut hand = Hand::new();
    hand.probe(1, 299, 100);
    assert_eq!(hand.ask(1, 4), 4);
    hand.shares.end_session(SessionId(1));
    assert_eq!(hand.left(), Some(295));
    hand.now += MINUTE;
    hand.probe(2, 299, 160);
    assert_eq!(hand.left(), Some(295), "it can arrive for a minute after the window");
    hand.now += MINUTE + 1;
    hand.probe(2, 299, 220);
    assert_eq!(hand.left(), Some(299));
}

#[test]
fn a_probe_without_an_answer_counts_and_another_one_goes() {
    let mut hand = Hand::new();
    let probe = hand.report(1, Vec::new(), 1);
    assert_eq!((probe.granted, hand.ask(2, 1)), (1, 0));
    let lost = ShareEvent::Lost { epoch: probe.epoch, requests: 1 };
    hand.report(1, vec![lost], 0);
    assert_eq!(hand.ask(2, 1), 1);
    // Nothing is heard of that one, and its session lives.
    hand.now += MINUTE;
    assert_eq!(hand.ask(1, 1), 1);
    hand.report(1, vec![spent(probe.epoch, 1, 100), seen(probe.epoch, 10, 100)], 0);
    assert_eq!(hand.left(), Some(9), "the second one may arrive yet, the first one no longer");
}

#[test]
fn a_refusal_stops_the_whole_cluster_for_its_time() {
    let mut hand = Hand::new();
    let epoch = hand.probe(1, 299, 100);
    hand.report(1, vec![ShareEvent::Paused { ms: 5_000, refused: true }], 0);
    assert_eq!(hand.ask(2, 4), 0);
    assert_eq!(hand.report(2, Vec::new(), 0).paused_ms, 5_000);
    hand.now += 5_000;
    assert_eq!(hand.ask(2, 4), 4);
    // Somebody else has used the budget.
    hand.report(1, vec![seen(epoch, 0, 100)], 0);
    assert_eq!(hand.ask(1, 1), 0);
}

#[test]
fn a_server_without_limits_needs_no_grants_until_it_refuses() {
    let mut hand = Hand::new();
    let probe = hand.report(1, Vec::new(), 1);
    let events = vec![
        ShareEvent::Spent { epoch: probe.epoch, requests: 1, window: None },
        ShareEvent::Unlimited { epoch: probe.epoch },
    ];
    assert!(matches!(hand.report(1, events, 0).standing, Standing::Unlimited { .. }));
    let mut share = Share::new();
    share.answered(0, &hand.report(2, Vec::new(), 3));
    assert_eq!(share.ready(1_000), u32::MAX);
    let taken = share.take();
    share.settle(taken, Outcome::Answered(None));
    share.pause(10_000, true);
    assert!(share.is_urgent(2_000));
    let report = share.take_news(2_000).report("token", 0, 2_000);
    let answer = hand.report(2, report.events, 1);
    assert_eq!((answer.granted, answer.paused_ms), (0, 8_000));
    hand.now += 8_000;
    assert_eq!((hand.ask(1, 9), hand.ask(2, 9)), (1, 0), "one probes");
}

#[test]
fn a_share_ends_before_the_state_believes_that_its_window_is_over() {
    let mut hand = Hand::new();
    hand.probe(1, 299, 100);
    let mut share = Share::new();
    // The report was sent at 7 s by the node's clock, and its answer took as long as it liked.
    share.answered(7_000, &hand.report(1, Vec::new(), 4));
    assert_eq!((share.ready(7_000 + MINUTE - 601), share.held()), (4, 4));
    assert_eq!(share.ready(7_000 + MINUTE - 600), 0);
    let news = share.take_news(70_000).report("token", 0, 70_000);
    assert!(matches!(news.events[..], [ShareEvent::Returned { requests: 4, .. }]), "{news:?}");
}

#[test]
fn what_a_session_held_is_not_reported_by_the_next_one() {
    let mut hand = Hand::new();
    hand.probe(1, 299, 100);
    let mut share = Share::new();
    share.answered(0, &hand.report(1, Vec::new(), 4));
    let (one, two) = (share.take(), share.take());
    share.settle(one, Outcome::Answered(Some(100)));
    share.drop_session();
    share.settle(two, Outcome::Lost);
    assert_eq!((share.in_flight(), share.held(), share.ready(0)), (0, 0, 0));
    assert!(share.take_news(0).is_empty());
}

#[test]
fn budgets_are_bounded_and_idle_ones_are_forgotten() {
    let mut shares = Shares::default();
    let mut sequence = 0;
    let mut ask = |shares: &mut Shares, at: u64, names: std::ops::Range<usize>, wanted: u32| {
        sequence += 1;
        let budget = |n| BudgetReport { budget: format!("b{n}").into(), events: Vec::new(), wanted };
        let report = ShareReport { session: SessionId(1), sequence, budgets: names.map(budget).collect() };
        shares.report(&report, Moment { term: 1, process: 1, at }).unwrap().budgets
    };
    // The first hundred are held.
    ask(&mut shares, 0, 0..100, 1);
    ask(&mut shares, 0, 100..MAX_BUDGETS, 0);
    let answers = ask(&mut shares, 1, MAX_BUDGETS..MAX_BUDGETS + 2, 1);
    assert!(answers.iter().all(|answer| answer.standing == Standing::Full && answer.granted == 0));
    let answers = ask(&mut shares, 4_000_000, MAX_BUDGETS..MAX_BUDGETS + 2, 1);
    assert!(answers.iter().all(|answer| answer.granted == 1), "{answers:?}");
    assert_eq!(shares.budgets.len(), 102);
}
