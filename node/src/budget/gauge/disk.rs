//! The on-disk form of a gauge.

use std::time::Duration;

use super::{Gauge, LINGER, State, block};
use crate::budget::boot::{Stamp, millis};
use crate::budget::record::{Kept, Knowledge};
use crate::budget::settings::BudgetSettings;

impl Gauge {
    /// Restores a budget that an earlier process wrote, `passed` ago.
    pub(in crate::budget) fn restore(
        kept: &Kept,
        passed: Duration,
        now: Duration,
        settings: &BudgetSettings,
    ) -> Self {
        let rest = |ms: u64| Duration::from_millis(ms).checked_sub(passed).filter(|rest| !rest.is_zero());
        let mut gauge = Self::new();
        gauge.limit = kept.limit;
        gauge.window = (kept.window_ms > 0).then(|| Duration::from_millis(kept.window_ms));
        gauge.blocked_until = rest(kept.blocked_ms).map(|rest| now + rest);
        match kept.knowledge {
            Knowledge::Unlimited => gauge.state = State::Unlimited,
            // They may have been sent at any time until the other process ended.
            Knowledge::Unknown { unresolved } => {
                (gauge.lost, gauge.lost_until) = (unresolved, now + gauge.window_length(settings));
            }
            Knowledge::Window { left, under_way, ends_in_ms, id } => {
                let ends_in = Duration::from_millis(ends_in_ms);
                gauge.last_id = id;
                if let Some(linger) = (LINGER + ends_in).checked_sub(passed) {
                    (gauge.lost, gauge.lost_until) = (under_way, now + linger.min(LINGER));
                }
                if let Some(rest) = rest(ends_in_ms) {
                    gauge.state = State::Window { left, floor: left, promised: None, ends: now + rest, id };
                }
            }
        }
        gauge
    }

    /// What must be on disk. `reserving`: a block of requests is about to be handed out.
    pub(in crate::budget) fn keep(&mut self, reserving: bool, now: Duration, at: Stamp) -> Kept {
        let until = |time: Duration| millis(time.saturating_sub(now));
        let under_way = self.in_flight.saturating_add(self.lost);
        let knowledge = match &mut self.state {
            State::Unlimited => Knowledge::Unlimited,
            State::Unknown { reserved, .. } => {
                let one_more = u32::from(reserving || *reserved || self.writing);
                Knowledge::Unknown { unresolved: under_way.saturating_add(one_more) }
            }
            State::Window { left, floor, promised, ends, id } => {
                if reserving {
                    *promised = Some(*left - block(*left));
                }
                let floor = promised.unwrap_or(*floor).min(*floor).min(*left);
                let more = u32::try_from(*left - floor).unwrap_or(u32::MAX);
                let under_way = under_way.saturating_add(more);
                Knowledge::Window { left: floor, under_way, ends_in_ms: until(*ends), id: *id }
            }
        };
        self.writing |= reserving;
        Kept {
            at,
            knowledge,
            limit: self.limit,
            window_ms: self.window.map_or(0, millis),
            blocked_ms: self.blocked_until.map_or(0, until),
        }
    }

    /// What [`keep`](Self::keep) returned when reserving in `epoch` is on disk.
    pub(in crate::budget) fn written(&mut self, epoch: u32) {
        self.writing = false;
        if epoch != self.epoch {
            return;
        }
        match &mut self.state {
            State::Unknown { reserved, .. } => *reserved = true,
            State::Window { floor, promised, .. } => *floor = promised.take().unwrap_or(*floor).min(*floor),
            State::Unlimited => {}
        }
    }
}
