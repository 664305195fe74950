//! Views of a gauge for operators and the scheduler.

use std::time::Duration;

use super::{Gauge, Ready, State};

/// The capacity of an unlimited budget where capacities are added up.
const PLENTY: usize = 1 << 16;

impl Gauge {
    pub(in crate::budget) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(in crate::budget) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(in crate::budget) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Requests left and the time until the next window; `None` if unknown.
    pub(in crate::budget) fn remaining(&self, now: Duration) -> Option<(u64, Duration)> {
        match self.state {
            State::Window { left, ends, .. } => Some((left, ends.saturating_sub(now))),
            State::Unknown { .. } | State::Unlimited => None,
        }
    }

    /// Whether nothing is known but the size of windows, and nothing is under way.
    pub(in crate::budget) fn is_idle(&mut self, now: Duration) -> bool {
        self.pass_time(now);
        let under_way = self.in_flight > 0 || self.lost > 0 || self.writing || self.blocked_until.is_some();
        !under_way && !matches!(self.state, State::Window { .. })
    }

    pub(in crate::budget) fn is_unlimited(&self) -> bool {
        self.state == State::Unlimited
    }

    pub(in crate::budget) fn blocked_for(&self, now: Duration) -> Option<Duration> {
        self.blocked_until.map(|until| until.saturating_sub(now)).filter(|wait| !wait.is_zero())
    }

    /// Requests that could be sent at once, regardless of the disk.
    pub(in crate::budget) fn capacity(&mut self, now: Duration, known_limit: Option<u64>) -> usize {
        let waits = matches!(self.ready(now, known_limit), Ready::Wait(_));
        match self.state {
            State::Window { left, .. } if self.blocked_until.is_none() => {
                usize::try_from(left).unwrap_or(PLENTY)
            }
            State::Unlimited if !waits => PLENTY,
            State::Unknown { .. } if !waits => 1,
            _ => 0,
        }
    }
}
