//! What a gauge allows, step by step.

use std::sync::Arc;

use storage::env::{Clock, ManualClock};

use super::*;
use crate::budget::boot::Timekeeper;
use crate::budget::record::{Kept, Knowledge};
use crate::rate::{Delivery, RateInfo};

const MS: Duration = Duration::from_millis(1);

pub(super) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) fn settings() -> BudgetSettings {
    BudgetSettings { margin: ms(100), default_window: ms(40_000), ..BudgetSettings::default() }
}

pub(super) fn answer(status: u16, remaining: Option<u64>, reset_in: u64, window: u64) -> RateInfo {
    RateInfo {
        delivery: Delivery::Answered(status),
        limited: status == 429,
        limit: None,
        remaining,
        reset_in: remaining.map(|_| Duration::from_secs(reset_in)),
        undated: false,
        window: remaining.map(|_| window),
        retry_after: None,
        date: None,
    }
}

/// A gauge driven by hand.
struct Hand {
    gauge: Gauge,
    keeper: Timekeeper,
    clock: Arc<ManualClock>,
}

impl Hand {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at_wall(ms(1_000_000)));
        Self { gauge: Gauge::new(), keeper: Timekeeper::new(clock.clone(), None), clock }
    }

    fn ready(&mut self) -> Ready {
        self.gauge.ready(self.clock.monotonic(), None)
    }

    fn write(&mut self) -> Kept {
        let kept = self.gauge.keep(true, self.clock.monotonic(), self.keeper.stamp());
        self.gauge.written(self.gauge.epoch());
        kept
    }

    /// Takes one request, recording it on disk as needed.
    fn take(&mut self) -> u32 {
        if self.ready() == Ready::Reserve {
            self.write();
        }
        assert_eq!(self.ready(), Ready::Go);
        self.gauge.take()
    }

    fn settle(&mut self, epoch: u32, rate: &RateInfo) -> bool {
        self.gauge.settle(epoch, rate, self.clock.monotonic(), &settings(), 0.0)
    }
}

#[test]
fn an_unknown_budget_is_probed_once_at_a_time_and_only_after_a_write() {
    let mut hand = Hand::new();
    assert_eq!(hand.ready(), Ready::Reserve);
    hand.gauge.keep(true, Duration::ZERO, hand.keeper.stamp());
    assert_eq!(hand.ready(), Ready::Wait(None), "the write is under way");
    hand.gauge.written(0);
    let probe = hand.take();
    assert_eq!(hand.ready(), Ready::Wait(None));
    hand.settle(probe, &answer(200, Some(14), 100, 1000));
    assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 14);
}

#[test]
fn remaining_zero_on_a_good_answer_waits_for_the_reset_and_its_margin() {
    let mut hand = Hand::new();
    let probe = hand.take();
    assert!(hand.settle(probe, &answer(200, Some(0), 10, 1000)), "the disk has to know");
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(11_100))));
    hand.clock.advance(ms(11_099));
    assert!(matches!(hand.ready(), Ready::Wait(_)));
    hand.clock.advance(MS);
    assert_eq!(hand.ready(), Ready::Reserve);
}

#[test]
fn a_reset_by_the_local_clock_alone_never_ends_a_window_early_and_teaches_nothing_of_its_length() {
    // A clock that is fast, one that is right, and one that is slow.
    for (guess, waits) in [(0, 40_000), (39, 40_000), (3_600, 3_600_000)] {
        let mut hand = Hand::new();
        let probe = hand.take();
        hand.settle(probe, &RateInfo { undated: true, ..answer(200, Some(0), guess, 1000) });
        assert_eq!(hand.ready(), Ready::Wait(Some(ms(waits + 1_100))), "{guess}");
        hand.clock.advance(ms(waits + 1_100));
        // The next window's answer names no reset time at all.
        let probe = hand.take();
        hand.settle(probe, &RateInfo { reset_in: None, ..answer(200, Some(0), 0, 9_000) });
        assert_eq!(hand.ready(), Ready::Wait(Some(ms(waits + 40_000 + 2_200))), "{guess}");
    }
}

#[test]
fn answers_out_of_order_never_raise_what_is_left() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(10), 100, 1000));
    let taken: Vec<u32> = (0..4).map(|_| hand.take()).collect();
    for remaining in [6, 9, 7, 8] {
        hand.settle(taken[0], &answer(200, Some(remaining), 100, 1000));
        assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 6);
    }
}

#[test]
fn somebody_else_at_the_same_budget_is_noticed() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(100), 100, 1000));
    let (first, _second) = (hand.take(), hand.take());
    assert!(hand.settle(first, &answer(200, Some(50), 100, 1000)), "the disk promised more");
    assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 49, "the second may not be counted yet");
}

#[test]
fn a_source_without_headers_is_unlimited_until_it_refuses() {
    let mut hand = Hand::new();
    let probe = hand.take();
    assert!(!hand.settle(probe, &answer(503, None, 0, 0)));
    assert!(!hand.gauge.is_unlimited(), "a gateway knows nothing");
    let probe = hand.take();
    assert!(hand.settle(probe, &answer(200, None, 0, 0)));
    let taken: Vec<u32> = (0..3).map(|_| hand.take()).collect();
    for epoch in &taken {
        hand.settle(*epoch, &answer(429, None, 0, 0));
    }
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(60_000))), "three at once are one refusal");
    hand.clock.advance(ms(60_000));
    let probe = hand.take();
    assert_eq!(hand.ready(), Ready::Wait(None), "one at a time again");
    hand.settle(probe, &answer(429, None, 0, 0));
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(180_000))), "doubled");
}

#[test]
fn retry_after_is_honoured_on_any_status() {
    let mut hand = Hand::new();
    let probe = hand.take();
    let rate = RateInfo { retry_after: Some(ms(7_000)), ..answer(503, Some(100), 900, 1000) };
    hand.settle(probe, &rate);
    assert_eq!(hand.ready(), Ready::Wait(Some(ms(8_100))));
}

#[test]
fn what_was_not_sent_is_still_there_and_the_address_rests() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(5), 900, 1000));
    for _ in 0..3 {
        let epoch = hand.take();
        hand.settle(epoch, &RateInfo::not_sent());
        assert_eq!(hand.gauge.remaining(Duration::ZERO).unwrap().0, 5);
        hand.clock.advance(ms(1_000));
    }
    let epoch = hand.take();
    hand.settle(epoch, &RateInfo::not_sent());
    assert!(matches!(hand.ready(), Ready::Wait(Some(_))));
}

#[test]
fn what_was_not_sent_in_a_window_is_not_given_to_the_next_one() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(5), 10, 1000));
    let late = hand.take();
    hand.clock.advance(ms(11_100));
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(0), 10, 2000));
    hand.settle(late, &RateInfo::not_sent());
    assert_eq!(hand.gauge.remaining(hand.clock.monotonic()).unwrap().0, 0);
}

#[test]
fn a_probe_that_was_not_sent_needs_no_second_write_but_a_request_of_an_earlier_window_replaces_none() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &RateInfo::not_sent());
    assert_eq!(hand.ready(), Ready::Go);

    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(5), 10, 1000));
    let late = hand.take();
    hand.clock.advance(ms(11_100));
    hand.settle(late, &RateInfo::not_sent());
    assert_eq!(hand.ready(), Ready::Reserve, "the disk knows nothing of this window");
}

#[test]
fn the_capacity_is_what_could_be_sent_at_once() {
    let capacity = |hand: &mut Hand| hand.gauge.capacity(hand.clock.monotonic(), None);
    let away = RateInfo { retry_after: Some(ms(5_000)), ..answer(503, None, 0, 0) };
    let mut hand = Hand::new();
    assert_eq!(capacity(&mut hand), 1, "a probe");
    let probe = hand.take();
    assert_eq!(capacity(&mut hand), 0, "one at a time");
    hand.settle(probe, &answer(200, Some(14), 100, 1000));
    assert_eq!(capacity(&mut hand), 14);
    let refused = hand.take();
    hand.settle(refused, &away);
    assert_eq!(capacity(&mut hand), 0, "the server asked for a pause");

    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, None, 0, 0));
    assert!(capacity(&mut hand) > 1_000, "no limit is known");
    let refused = hand.take();
    hand.settle(refused, &away);
    assert_eq!(capacity(&mut hand), 0, "the server asked for a pause");
}

#[test]
fn a_restart_believes_the_disk_and_no_more() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &answer(200, Some(160), 100, 1000));
    let kept = hand.write();
    assert!(matches!(kept.knowledge, Knowledge::Window { left: 150, .. }), "{kept:?}");
    for _ in 0..10 {
        assert_eq!(hand.ready(), Ready::Go);
        hand.gauge.take();
    }
    assert_eq!(hand.ready(), Ready::Reserve);
    let mut again = Gauge::restore(&kept, ms(40_000), ms(5), &settings());
    assert_eq!(again.remaining(ms(5)), Some((150, ms(61_100))));
    assert_eq!(again.ready(ms(61_105), None), Ready::Reserve, "the window has ended");
}

#[test]
fn a_lost_probe_of_a_known_limit_is_held_against_it() {
    let mut hand = Hand::new();
    let probe = hand.take();
    hand.settle(probe, &RateInfo { limit: Some(1), ..answer(200, Some(0), 10, 1000) });
    hand.clock.advance(ms(11_100));
    assert_eq!(hand.ready(), Ready::Reserve);
    let kept = hand.write();
    let mut again = Gauge::restore(&kept, Duration::ZERO, Duration::ZERO, &settings());
    assert!(
        matches!(again.ready(Duration::ZERO, None), Ready::Wait(Some(_))),
        "it may have been the only one"
    );
}
