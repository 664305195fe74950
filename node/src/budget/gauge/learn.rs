//! What a gauge learns from answers.

use std::time::Duration;

use super::{Gauge, LINGER, State};
use crate::budget::settings::BudgetSettings;
use crate::rate::{Delivery, RateInfo};

/// Servers tell the end of a window in whole seconds, and so can be up to one early.
const GRANULARITY: Duration = Duration::from_secs(1);
/// Refusals in a row that name a reset, after which it is no longer believed alone.
const PATIENCE: u32 = 3;

impl Gauge {
    /// A request taken in `epoch` has ended. `jitter` is drawn from `0..1`. True if the disk now promises too
    /// much, or has to know of a pause.
    pub(in crate::budget) fn settle(
        &mut self,
        epoch: u32,
        rate: &RateInfo,
        now: Duration,
        settings: &BudgetSettings,
        jitter: f64,
    ) -> bool {
        self.pass_time(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        let current = epoch == self.epoch;
        if let (true, State::Unknown { probing, .. }) = (current, &mut self.state) {
            *probing = false;
        }
        let status = match rate.delivery {
            Delivery::NotSent => {
                self.give_back(current, now, settings, jitter);
                return false;
            }
            Delivery::Unanswered => {
                self.misses = 0;
                self.lose(now, settings);
                return false;
            }
            Delivery::Answered(status) => status,
        };
        self.misses = 0;
        let mut persist = self.learn(current, rate, now, settings);
        if matches!(status, 200..=299) {
            self.strikes = 0;
        }
        if rate.limited || rate.retry_after.is_some() {
            persist |= self.block(rate, now, settings, jitter);
        } else if current && rate.remaining.is_none() && matches!(self.state, State::Unknown { .. }) {
            persist |= self.learn_silence(status, now, settings);
        }
        persist
    }

    /// No answer: within a known window the request is already counted, and can only come late; in an unknown
    /// one it may have been counted at any time.
    fn lose(&mut self, now: Duration, settings: &BudgetSettings) {
        let known = matches!(self.state, State::Window { .. });
        let lingers = if known { LINGER } else { self.window_length(settings) };
        self.lost = self.lost.saturating_add(1);
        self.lost_until = self.lost_until.max(now + lingers);
    }

    /// What was never sent is still there. Without connections the address rests for a while.
    fn give_back(&mut self, current: bool, now: Duration, settings: &BudgetSettings, jitter: f64) {
        match &mut self.state {
            State::Unknown { reserved, .. } if current => *reserved = true,
            State::Window { left, .. } if current => *left += 1,
            _ => {}
        }
        self.misses = self.misses.saturating_add(1);
        if self.misses > 1 {
            self.block_for(doubled(settings.rest, self.misses - 1, jitter), now);
        }
    }

    /// Learns from the headers. True if the disk now promises too much.
    fn learn(&mut self, current: bool, rate: &RateInfo, now: Duration, settings: &BudgetSettings) -> bool {
        let refused = rate.limited && rate.reset_in.is_some();
        let Some(remaining) = (if refused { Some(0) } else { rate.remaining }) else { return false };
        self.limit = self.seen_limit(rate);
        let reset_in = match rate.reset_in {
            Some(reset_in) if !rate.undated => {
                self.window = self.window.max(Some(reset_in + GRANULARITY));
                reset_in
            }
            // By a local clock that is fast the window would end too early. It cannot last longer than a whole one
            // from now; what a slow clock says teaches nothing of its length.
            guess => self.window_length(settings).max(guess.unwrap_or_default()),
        };
        let its_end = now + reset_in + GRANULARITY + settings.margin;
        let others = u64::from(self.in_flight);
        match &mut self.state {
            State::Window { left, floor, promised, ends, id } => match age(rate.window, *id) {
                Age::Newer => self.establish(remaining, its_end, rate.window),
                Age::Older if !current => false,
                same_or_older => {
                    if same_or_older == Age::Older {
                        // The server began to count anew, in shorter windows.
                        (*ends, *id) = (its_end, rate.window);
                    }
                    // Less than was counted here: somebody else uses this budget, too.
                    if remaining < *left {
                        *left = remaining.saturating_sub(others);
                    }
                    *left < promised.unwrap_or(*floor).min(*floor)
                }
            },
            // A late answer of the window before says nothing of this one.
            State::Unknown { .. } if !current && age(rate.window, self.last_id) != Age::Newer => false,
            State::Unknown { .. } | State::Unlimited => self.establish(remaining, its_end, rate.window),
        }
    }

    /// What a window holds, as far as the headers show it. Never zero: nothing would ever be asked again.
    fn seen_limit(&self, rate: &RateInfo) -> Option<u64> {
        let at_least = || rate.remaining.map(|remaining| remaining.saturating_add(1)).max(self.limit);
        rate.limit.or_else(at_least).map(|limit| limit.max(1))
    }

    /// A new window: what its first answer leaves, less all that may still reach it.
    fn establish(&mut self, remaining: u64, ends: Duration, id: Option<u64>) -> bool {
        let others = u64::from(self.in_flight) + u64::from(self.lost);
        let left = remaining.saturating_sub(others);
        self.lost = 0;
        self.state = State::Window { left, floor: left, promised: None, ends, id };
        self.epoch = self.epoch.wrapping_add(1);
        // With some left, the next block brings the pending_records to the disk.
        left == 0
    }

    /// An answer without headers. A source that never sent any is taken to have none; one that did has
    /// counted the request all the same.
    fn learn_silence(&mut self, status: u16, now: Duration, settings: &BudgetSettings) -> bool {
        if self.limit.is_some() {
            self.lose(now, settings);
            return false;
        }
        // Behind a 5xx there may be a gateway that knows nothing of budgets.
        if status < 500 {
            self.state = State::Unlimited;
            self.epoch = self.epoch.wrapping_add(1);
        }
        status < 500
    }

    /// The server asked for a pause.
    fn block(&mut self, rate: &RateInfo, now: Duration, settings: &BudgetSettings, jitter: f64) -> bool {
        // Many requests under way are refused together: that is one refusal.
        let first = self.blocked_until.is_none();
        if rate.limited && first {
            self.strikes = self.strikes.saturating_add(1);
        }
        if let Some(pause) = rate.retry_after {
            self.block_for(pause + GRANULARITY + settings.margin, now);
        } else if first && (rate.reset_in.is_none() || self.strikes > PATIENCE) {
            self.block_for(doubled(settings.backoff, self.strikes, jitter), now);
        }
        if rate.limited && !matches!(self.state, State::Window { .. }) {
            // One probe at a time, once the pause is over.
            self.forget();
        }
        true
    }

    fn block_for(&mut self, pause: Duration, now: Duration) {
        self.blocked_until = self.blocked_until.max(Some(now + pause));
    }
}

/// The `nth` wait of a doubling series, with up to a quarter more so that not all come back together.
fn doubled((first, longest): (Duration, Duration), nth: u32, jitter: f64) -> Duration {
    let factor = 1u32 << nth.saturating_sub(1).min(16);
    first.saturating_mul(factor).min(longest).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Older,
    Same,
    Newer,
}

/// Compares the window that an answer names to the known one. A server that adds whole seconds to its clock names
/// one window by two neighbouring seconds.
fn age(named: Option<u64>, known: Option<u64>) -> Age {
    match (named, known) {
        (Some(named), Some(known)) if named > known.saturating_add(1) => Age::Newer,
        (Some(named), Some(known)) if named.saturating_add(1) < known => Age::Older,
        _ => Age::Same,
    }
}
