//! What a gauge learns from answers.

use std::time::Duration;

use api::model::WindowAge;

use super::{Gauge, LINGER, State};
use crate::budget::settings::BudgetSettings;
use crate::rate::{Delivery, RateInfo};

/// Servers report the end of a window in whole seconds, and so can be up to one early.
pub(in crate::budget) const GRANULARITY: Duration = Duration::from_secs(1);
/// After this many refusals in a row that name a reset, the reset alone is no longer trusted.
pub(in crate::budget) const PATIENCE: u32 = 3;

impl Gauge {
    /// Settles a request taken in `epoch`. `jitter` is drawn from `0..1`. Returns true if what is on disk now
    /// promises too much, or lacks a pause.
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

    /// No answer: within a known window the request is already counted, and can only arrive late; in an
    /// unknown one it may have been counted at any time.
    fn lose(&mut self, now: Duration, settings: &BudgetSettings) {
        let known = matches!(self.state, State::Window { .. });
        let lingers = if known { LINGER } else { self.window_length(settings) };
        self.lost = self.lost.saturating_add(1);
        self.lost_until = self.lost_until.max(now + lingers);
    }

    /// A request that was never sent is returned to the budget. An address without connections pauses for a
    /// while.
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

    /// Learns from the headers. Returns true if what is on disk now promises too much.
    fn learn(&mut self, current: bool, rate: &RateInfo, now: Duration, settings: &BudgetSettings) -> bool {
        let refused = rate.limited && rate.reset_in.is_some();
        let Some(remaining) = (if refused { Some(0) } else { rate.remaining }) else { return false };
        self.limit = self.seen_limit(rate);
        let reset_in = match rate.reset_in {
            Some(reset_in) if !rate.undated => {
                self.window = self.window.max(Some(reset_in + GRANULARITY));
                reset_in
            }
            // With a fast local clock the window would end too early. It cannot last longer than a whole one from
            // now; a slow clock's reset says nothing about its length.
            guess => self.window_length(settings).max(guess.unwrap_or_default()),
        };
        let its_end = now + reset_in + GRANULARITY + settings.margin;
        let others = u64::from(self.in_flight);
        match &mut self.state {
            State::Window { left, floor, promised, ends, id } => match WindowAge::of(rate.window, *id) {
                WindowAge::Newer => self.establish(remaining, its_end, rate.window),
                WindowAge::Older if !current => false,
                same_or_older => {
                    if same_or_older == WindowAge::Older {
                        // The server has started a new, shorter window.
                        (*ends, *id) = (its_end, rate.window);
                    }
                    // Less than was counted here: somebody else uses this budget as well.
                    if remaining < *left {
                        *left = remaining.saturating_sub(others);
                    }
                    *left < promised.unwrap_or(*floor).min(*floor)
                }
            },
            // A late answer from the previous window says nothing about this one.
            State::Unknown { .. }
                if !current && WindowAge::of(rate.window, self.last_id) != WindowAge::Newer =>
            {
                false
            }
            State::Unknown { .. } | State::Unlimited => self.establish(remaining, its_end, rate.window),
        }
    }

    /// The size of a window, as far as the headers show it. Never zero, or nothing would ever be requested
    /// again.
    fn seen_limit(&self, rate: &RateInfo) -> Option<u64> {
        let at_least = || rate.remaining.map(|remaining| remaining.saturating_add(1)).max(self.limit);
        rate.limit.or_else(at_least).map(|limit| limit.max(1))
    }

    /// A new window: what its first answer leaves, less everything that may still arrive in it.
    fn establish(&mut self, remaining: u64, ends: Duration, id: Option<u64>) -> bool {
        let others = u64::from(self.in_flight) + u64::from(self.lost);
        let left = remaining.saturating_sub(others);
        self.lost = 0;
        self.state = State::Window { left, floor: left, promised: None, ends, id };
        self.epoch = self.epoch.wrapping_add(1);
        // With some left, the next block is recorded on disk anyway.
        left == 0
    }

    /// An answer without headers. A source that has never sent any is assumed to have no limit; one that has
    /// sent some has counted the request all the same.
    fn learn_silence(&mut self, status: u16, now: Duration, settings: &BudgetSettings) -> bool {
        if self.limit.is_some() {
            self.lose(now, settings);
            return false;
        }
        // A 5xx may come from a gateway that knows nothing of budgets.
        if status < 500 {
            self.state = State::Unlimited;
            self.epoch = self.epoch.wrapping_add(1);
        }
        status < 500
    }

    /// The server asked for a pause.
    fn block(&mut self, rate: &RateInfo, now: Duration, settings: &BudgetSettings, jitter: f64) -> bool {
        // Many requests in flight are refused together: that counts as one refusal.
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
            // One probe at a time once the pause is over.
            self.forget();
        }
        true
    }

    fn block_for(&mut self, pause: Duration, now: Duration) {
        self.blocked_until = self.blocked_until.max(Some(now + pause));
    }
}

/// The `nth` wait of a doubling series, plus up to a quarter so that not all retry at once.
pub(in crate::budget) fn doubled((first, longest): (Duration, Duration), nth: u32, jitter: f64) -> Duration {
    let factor = 1u32 << nth.saturating_sub(1).min(16);
    first.saturating_mul(factor).min(longest).mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 4.0)
}
