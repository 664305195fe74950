//! The state of one budget.
//!
//! A gauge is a plain state machine without clock or I/O. All times are monotonic times of this process. Its rule:
//! **the requests sent and the number on disk together never exceed what the server allows.** The number on disk
//! (`floor`) is a lower bound of the requests left; a request is sent only while more are left than that. A new
//! process trusts the disk, and therefore never assumes more than is true.

mod disk;
mod learn;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod view;

pub(super) use learn::{GRANULARITY, PATIENCE, doubled};

use std::time::Duration;

use super::settings::BudgetSettings;

/// One record on disk covers a part of what is left, and at most this many requests.
const LARGEST_BLOCK: u64 = 32;
const BLOCKS_A_WINDOW: u64 = 16;
/// A request that nobody waits for any more can still reach its server for this long.
const LINGER: Duration = Duration::from_secs(60);

/// Whether a request may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// Now.
    Go,
    /// Once a reservation is on disk.
    Reserve,
    /// Not before this time, or before something is settled or written.
    Wait(Option<Duration>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// `reserved`: the disk records one request more than are in flight. `probing`: that one is in flight.
    Unknown { reserved: bool, probing: bool },
    /// `promised` is the floor that is being written to disk.
    Window { left: u64, floor: u64, promised: Option<u64>, ends: Duration, id: Option<u64> },
    /// The source reports no limits: only refusals bound it.
    Unlimited,
}

/// One budget.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    state: State,
    /// Incremented when what was known no longer holds. Answers to requests of an older epoch may concern an older
    /// window.
    epoch: u32,
    in_flight: u32,
    /// Requests without an answer: the server may still count them.
    lost: u32,
    lost_until: Duration,
    writing: bool,
    blocked_until: Option<Duration>,
    /// Refusals in a row, and failed connections in a row.
    strikes: u32,
    misses: u32,
    limit: Option<u64>,
    window: Option<Duration>,
    last_id: Option<u64>,
}

impl Gauge {
    /// A budget of which nothing is known.
    pub(super) fn new() -> Self {
        Self {
            state: State::Unknown { reserved: false, probing: false },
            epoch: 0,
            in_flight: 0,
            lost: 0,
            lost_until: Duration::ZERO,
            writing: false,
            blocked_until: None,
            strikes: 0,
            misses: 0,
            limit: None,
            window: None,
            last_id: None,
        }
    }

    /// Whether a request may be sent now. `known_limit`: the size of a window as other addresses have seen
    /// it.
    pub(super) fn ready(&mut self, now: Duration, known_limit: Option<u64>) -> Ready {
        self.pass_time(now);
        if let Some(until) = self.blocked_until {
            return Ready::Wait(Some(until));
        }
        let unresolved = u64::from(self.in_flight) + u64::from(self.lost);
        match self.state {
            State::Unlimited => Ready::Go,
            State::Window { left: 0, ends, .. } => Ready::Wait(Some(ends)),
            State::Window { left, floor, .. } if left > floor => Ready::Go,
            State::Unknown { probing: true, .. } => Ready::Wait(None),
            State::Unknown { .. } if self.limit.or(known_limit).is_some_and(|limit| unresolved >= limit) => {
                Ready::Wait((self.lost > 0).then_some(self.lost_until))
            }
            State::Unknown { reserved: true, .. } => Ready::Go,
            _ if self.writing => Ready::Wait(None),
            _ => Ready::Reserve,
        }
    }

    /// Takes one request after [`Ready::Go`]; returns the epoch to settle it with.
    pub(super) fn take(&mut self) -> u32 {
        self.in_flight += 1;
        match &mut self.state {
            State::Unknown { reserved, probing } => (*reserved, *probing) = (false, true),
            State::Window { left, .. } => *left = left.saturating_sub(1),
            State::Unlimited => {}
        }
        self.epoch
    }

    /// Whether the next block should be recorded on disk before the workers have to wait for it.
    pub(super) fn runs_low(&self) -> bool {
        match self.state {
            State::Window { left, floor, .. } if floor > 0 && !self.writing => {
                left.saturating_sub(floor) <= block(left) / 2
            }
            _ => false,
        }
    }

    fn pass_time(&mut self, now: Duration) {
        if self.blocked_until.is_some_and(|until| now >= until) {
            self.blocked_until = None;
        }
        if self.lost > 0 && now >= self.lost_until {
            self.lost = 0;
        }
        match self.state {
            State::Window { ends, id, .. } if now >= ends => {
                self.last_id = id.or(self.last_id);
                self.forget();
            }
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.state = State::Unknown { reserved: false, probing: false };
        self.epoch = self.epoch.wrapping_add(1);
    }

    /// A lower bound of a window's length: every window seen may have begun before it was seen.
    fn window_length(&self, settings: &BudgetSettings) -> Duration {
        self.window.unwrap_or_default().max(settings.default_window)
    }
}

/// How much of what is left the next record on disk covers.
fn block(left: u64) -> u64 {
    (left / BLOCKS_A_WINDOW).clamp(1, LARGEST_BLOCK).min(left)
}
