//! Rate limits: requests per window, by client address and endpoint.

use std::str::FromStr;
use std::time::Duration;

use storage::env::Clock;

use super::Endpoint;

/// A request budget per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Requests answered in one window; at least 1.
    pub requests: u32,
    /// Minimum length of a window; its end is rounded up to the next whole second of the wall clock.
    pub window: Duration,
}

impl FromStr for Budget {
    type Err = String;

    /// Parses `180/900s`; the unit of the window is `ms`, `s` or `m`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no budget; write requests per window, as 180/900s");
        let (requests, window) = text.split_once('/').ok_or_else(wrong)?;
        let requests: u32 = requests.parse().map_err(|_| wrong())?;
        let unit = window.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = window.split_at(unit);
        let number: u32 = number.parse().map_err(|_| wrong())?;
        let window = match unit {
            "ms" => Duration::from_millis(number.into()),
            "s" => Duration::from_secs(number.into()),
            "m" => Duration::from_secs(u64::from(number) * 60),
            _ => return Err(wrong()),
        };
        if requests == 0 || window.is_zero() {
            return Err(format!("{text:?} lets nothing through; requests and window must be at least 1"));
        }
        Ok(Self { requests, window })
    }
}

/// The budget of each endpoint; an endpoint without one is not limited and sends no limit headers.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    budgets: [Option<Budget>; Endpoint::ALL.len()],
}

impl RateLimits {
    /// Limits `endpoint`.
    #[must_use]
    pub fn with(mut self, endpoint: Endpoint, budget: Budget) -> Self {
        self.budgets[endpoint.index()] = Some(budget);
        self
    }

    pub(super) fn of(&self, endpoint: Endpoint) -> Option<Budget> {
        self.budgets[endpoint.index()]
    }
}

impl FromStr for RateLimits {
    type Err = String;

    /// Reads `timeline=180/900s,followers=15/900s`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (endpoint, budget) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is no limit; write ENDPOINT=REQUESTS/WINDOW"))?;
            limits = limits.with(endpoint.parse()?, budget.parse()?);
        }
        Ok(limits)
    }
}

/// A fixed window, opened by an address's first request after the previous window ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    used: u32,
    ends: Duration,
    reset_unix: u64,
}

/// The state of a window after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance {
    pub limit: u32,
    pub remaining: u32,
    /// Unix time in seconds at which the window ends.
    pub reset_unix: u64,
    /// Whole seconds until then, rounded up.
    pub reset_in: u64,
    /// Whether the budget was already exhausted.
    pub exhausted: bool,
}

impl Window {
    /// Identifies the window of an address and an endpoint.
    pub fn opened(self) -> Duration {
        self.ends
    }

    fn open(budget: Budget, clock: &dyn Clock) -> Self {
        // Headers contain whole seconds. The end of the window is rounded up, so a client that returns at the
        // announced second is never early.
        let wall = clock.wall();
        let end = wall + budget.window;
        let reset_unix = end.as_secs() + u64::from(end.subsec_nanos() > 0);
        let length = Duration::from_secs(reset_unix).saturating_sub(wall);
        Self { used: 0, ends: clock.monotonic() + length, reset_unix }
    }

    /// Charges one request to the window in `slot`, opening a new one if none is open.
    pub fn charge(slot: &mut Option<Self>, budget: Budget, clock: &dyn Clock) -> Allowance {
        let now = clock.monotonic();
        let window = match slot {
            Some(window) if now < window.ends => window,
            _ => slot.insert(Self::open(budget, clock)),
        };
        let exhausted = window.used >= budget.requests;
        window.used = window.used.saturating_add(1);
        window.allowance(budget, now, exhausted)
    }

    /// The remaining budget, without charging a request.
    pub fn look(slot: Option<&Self>, budget: Budget, clock: &dyn Clock) -> Allowance {
        let now = clock.monotonic();
        let fresh = Self::open(budget, clock);
        let window = slot.filter(|w| now < w.ends).unwrap_or(&fresh);
        window.allowance(budget, now, window.used >= budget.requests)
    }

    fn allowance(&self, budget: Budget, now: Duration, exhausted: bool) -> Allowance {
        let left = self.ends.saturating_sub(now);
        Allowance {
            limit: budget.requests,
            remaining: budget.requests.saturating_sub(self.used),
            reset_unix: self.reset_unix,
            reset_in: left.as_secs() + u64::from(left.subsec_nanos() > 0),
            exhausted,
        }
    }
}

#[cfg(test)]
mod tests {
    use storage::env::ManualClock;

    use super::*;

    #[test]
    fn a_window_starts_at_the_first_request_and_ends_at_the_announced_second() {
        let clock = ManualClock::at_wall(Duration::from_millis(1_000_300));
        let budget = "2/10s".parse().unwrap();
        let mut slot = None;
        let first = Window::charge(&mut slot, budget, &clock);
        assert_eq!((first.remaining, first.reset_unix, first.exhausted), (1, 1011, false));
        assert_eq!(Window::charge(&mut slot, budget, &clock).remaining, 0);
        clock.advance(Duration::from_millis(10_699));
        let late = Window::charge(&mut slot, budget, &clock);
        assert!(late.exhausted);
        assert_eq!(late.reset_in, 1);
        clock.advance(Duration::from_millis(1));
        let next = Window::charge(&mut slot, budget, &clock);
        assert_eq!((next.remaining, next.reset_unix, next.exhausted), (1, 1021, false));
    }

    #[test]
    fn specifications_are_read_and_wrong_ones_named() {
        let limits: RateLimits = "timeline=180/900s,followers=15/15m,lookup=3/250ms".parse().unwrap();
        assert_eq!(limits.of(Endpoint::Followers).unwrap().window, Duration::from_secs(900));
        assert_eq!(limits.of(Endpoint::Lookup).unwrap().window, Duration::from_millis(250));
        assert!(limits.of(Endpoint::Show).is_none());
        for wrong in ["timeline", "home=1/1s", "timeline=1", "timeline=0/1s", "timeline=1/5", "timeline=1/5h"]
        {
            assert!(wrong.parse::<RateLimits>().is_err(), "{wrong}");
        }
    }
}
