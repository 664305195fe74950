//! A session's own view of what it holds of one budget.

use std::collections::BTreeMap;

use storage::planted::{Bug, planted};

use super::budget::PROBE_VALID;
use crate::model::{BudgetReport, ShareAnswer, ShareEvent, Standing, WindowSeen};

/// A share ends earlier by this part of the time that it is valid, for clocks that run at different speeds.
const SLOWNESS: u64 = 100;
/// Events that are noted at most; so many are reported at once.
const MAX_NOTED: usize = 48;

/// A request that was taken from a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    session: u64,
    epoch: u64,
    /// Whether it was granted, and is not one of a server without limits.
    counted: bool,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered; the window that counted it, as the server names it.
    Answered(Option<u64>),
    /// No answer came.
    Lost,
    /// It was certainly not sent.
    NotSent,
}

/// What an answer told of its window, by the node's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    seen: WindowSeen,
    /// When the window has certainly ended, ms.
    ends: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Event(ShareEvent),
    Seen(Told),
    /// Until when, ms.
    Paused {
        until: u64,
        refused: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Window {
        window: Option<u64>,
        left: u64,
        ends: u64,
    },
    /// Until when, ms.
    Unlimited(u64),
}

/// What a session holds of one budget. It lives in memory only: what is not reported when the session ends counts as sent.
/// All times are those of the node's monotonic clock, ms.
#[derive(Debug, Clone)]
pub struct Share {
    /// Counts the sessions that held it.
    session: u64,
    epoch: u64,
    known: Known,
    free: u32,
    /// Until when what is free may be sent.
    valid_until: u64,
    in_flight: u32,
    /// Requests in flight by epoch, of this session and granted.
    counted: BTreeMap<u64, u32>,
    noted: Vec<Noted>,
    paused_until: u64,
    limit: Option<u64>,
}

impl Default for Share {
    fn default() -> Self {
        Self::new()
    }
}

impl Share {
    /// Holds nothing.
    pub fn new() -> Self {
        Self {
            session: 0,
            epoch: 0,
            known: Known::Nothing,
            free: 0,
            valid_until: 0,
            in_flight: 0,
            counted: BTreeMap::new(),
            noted: Vec::new(),
            paused_until: 0,
            limit: None,
        }
    }

    /// The session is over: the state counts all that it held.
    pub fn drop_session(&mut self) {
        self.session += 1;
        self.free = 0;
        self.counted.clear();
        self.noted.clear();
        (self.known, self.epoch) = (Known::Nothing, 0);
    }

    /// How many requests may be sent now; `u32::MAX` for a server without limits.
    pub fn ready(&mut self, now: u64) -> u32 {
        self.expire(now);
        match self.known {
            _ if now < self.paused_until => 0,
            Known::Unlimited(until) if now < until => u32::MAX,
            _ => self.free,
        }
    }

    /// Takes one request after [`Self::ready`] said that one may be sent.
    pub fn take(&mut self) -> Taken {
        let counted = !matches!(self.known, Known::Unlimited(_));
        if counted {
            self.free = self.free.saturating_sub(1);
            *self.counted.entry(self.epoch).or_default() += 1;
        }
        self.in_flight += 1;
        Taken { session: self.session, epoch: self.epoch, counted }
    }

    /// What became of a request. An answer's window is told with [`Self::seen`] afterwards.
    pub fn settle(&mut self, taken: Taken, outcome: Outcome) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if taken.session != self.session || !taken.counted {
            return;
        }
        if let Some(counted) = self.counted.get_mut(&taken.epoch) {
            *counted = counted.saturating_sub(1);
        }
        self.counted.retain(|_, counted| *counted > 0);
        let (epoch, requests) = (taken.epoch, 1);
        match outcome {
            Outcome::Answered(window) => self.note(ShareEvent::Spent { epoch, requests, window }),
            Outcome::Lost => self.note(ShareEvent::Lost { epoch, requests }),
            // Valid as long as the others are; if nothing is, it is returned.
            Outcome::NotSent if epoch == self.epoch => self.free = self.free.saturating_add(1),
            Outcome::NotSent => self.note(ShareEvent::Returned { epoch, requests }),
        }
    }

    /// An answer told of its window, which has certainly ended at `ends`.
    pub fn seen(&mut self, taken: Taken, remaining: u64, limit: Option<u64>, ends: u64, window: Option<u64>) {
        let epoch = match taken.session == self.session {
            true => taken.epoch,
            false => 0,
        };
        self.limit = limit.or(self.limit);
        let same = |told: &Told| (told.seen.epoch, told.seen.window) == (epoch, window);
        if epoch == self.epoch && u64::from(self.free) > remaining {
            // Somebody else uses this budget as well.
            self.give_back();
        }
        let found = self.noted.iter().position(|noted| matches!(noted, Noted::Seen(told) if same(told)));
        if let Some(at) = found {
            // An answer that left more came late. Of two facts the later one holds, at its place in the order.
            match self.noted[at] {
                Noted::Seen(told) if told.seen.remaining < remaining => return,
                _ => drop(self.noted.remove(at)),
            }
        }
        let seen = WindowSeen { epoch, remaining, limit, ends_in_ms: 0, window };
        self.noted.push(Noted::Seen(Told { seen, ends }));
    }

    /// An answer told of no limit.
    pub fn seen_unlimited(&mut self, taken: Taken) {
        let known = matches!(self.known, Known::Unlimited(_));
        if taken.session == self.session && self.limit.is_none() && !known {
            self.note(ShareEvent::Unlimited { epoch: taken.epoch });
        }
    }

    /// The server asks for a pause until then.
    pub fn pause(&mut self, until: u64, refused: bool) {
        self.paused_until = self.paused_until.max(until);
        let (mut until, mut refused) = (until, refused);
        self.noted.retain(|noted| match *noted {
            Noted::Paused { until: before, refused: was_refused } => {
                (until, refused) = (until.max(before), refused || was_refused);
                false
            }
            Noted::Event(_) | Noted::Seen(_) => true,
        });
        self.noted.push(Noted::Paused { until, refused });
        if refused && matches!(self.known, Known::Unlimited(_)) {
            self.known = Known::Nothing;
        }
    }

    /// Adds an event to the last one if it is of the same kind.
    fn note(&mut self, event: ShareEvent) {
        if let Some(Noted::Event(last)) = self.noted.last_mut() {
            match (last, event) {
                (
                    ShareEvent::Spent { epoch, requests, window },
                    ShareEvent::Spent { epoch: e, requests: r, window: w },
                ) if (*epoch, *window) == (e, w) => return *requests += r,
                (ShareEvent::Lost { epoch, requests }, ShareEvent::Lost { epoch: e, requests: r })
                | (
                    ShareEvent::Returned { epoch, requests },
                    ShareEvent::Returned { epoch: e, requests: r },
                ) if *epoch == e => {
                    return *requests += r;
                }
                (ShareEvent::Unlimited { epoch }, ShareEvent::Unlimited { epoch: e }) if *epoch == e => {
                    return;
                }
                _ => {}
            }
        }
        self.noted.push(Noted::Event(event));
    }

    /// What is free and no longer valid is given back.
    fn expire(&mut self, now: u64) {
        if now >= self.valid_until && !planted(Bug::ShareOutlivesWindow) {
            self.give_back();
        }
        match self.known {
            Known::Window { ends, .. } if now >= ends => self.known = Known::Nothing,
            Known::Unlimited(until) if now >= until => self.known = Known::Nothing,
            _ => {}
        }
    }

    /// Gives back what is free: others may need it.
    pub fn give_back(&mut self) {
        let (epoch, requests) = (self.epoch, std::mem::take(&mut self.free));
        if requests > 0 {
            self.note(ShareEvent::Returned { epoch, requests });
        }
    }

    /// Whether something has to be reported now, and not only with the next wish.
    pub fn is_urgent(&mut self, now: u64) -> bool {
        self.expire(now);
        let matters = |seen: &WindowSeen| match self.known {
            Known::Window { window: Some(known), .. }
                if seen.window.is_some_and(|w| w.abs_diff(known) > 1) =>
            {
                true
            }
            Known::Window { left, .. } => seen.remaining < left / 2,
            Known::Nothing | Known::Unlimited(_) => true,
        };
        self.noted.len() >= MAX_NOTED / 2
            || self.noted.iter().any(|noted| match noted {
                Noted::Seen(told) => matters(&told.seen),
                Noted::Paused { .. } => true,
                Noted::Event(ShareEvent::Returned { .. } | ShareEvent::Unlimited { .. }) => true,
                Noted::Event(ShareEvent::Lost { .. }) => matches!(self.known, Known::Nothing),
                // The window is over: what it counted is not missing in the next one.
                Noted::Event(ShareEvent::Spent { .. }) => matches!(self.known, Known::Nothing),
                Noted::Event(_) => false,
            })
    }

    /// What is to be reported, at most once; the caller repeats a report until it is answered.
    pub fn take_news(&mut self, now: u64) -> News {
        self.expire(now);
        let most = self.noted.len().min(MAX_NOTED);
        News(self.noted.drain(..most).collect())
    }

    /// A report that was sent at `sent` was answered.
    pub fn answered(&mut self, sent: u64, answer: &ShareAnswer) {
        let until = |ms: u64| sent.saturating_add(ms - ms / SLOWNESS);
        self.epoch = answer.epoch;
        self.limit = answer.limit.or(self.limit);
        if answer.paused_ms > 0 {
            self.paused_until = self.paused_until.max(sent.saturating_add(answer.paused_ms));
        }
        let granted = answer.granted;
        match answer.standing {
            Standing::Window { left, ends_in_ms, window } => {
                (self.valid_until, self.free) = (until(ends_in_ms), self.free.saturating_add(granted));
                self.known = Known::Window { window, left, ends: sent.saturating_add(ends_in_ms) };
            }
            Standing::Unknown { valid_ms } => {
                // Whatever else is free belongs to a window that is over.
                self.give_back();
                self.known = Known::Nothing;
                if granted > 0 {
                    (self.valid_until, self.free) = (until(valid_ms.min(PROBE_VALID)), granted);
                }
            }
            Standing::Unlimited { valid_ms } => {
                self.give_back();
                self.known = Known::Unlimited(until(valid_ms));
            }
            Standing::Full => self.known = Known::Nothing,
        }
    }

    /// Whether something is to be reported.
    pub fn has_news(&self) -> bool {
        !self.noted.is_empty()
    }

    /// Requests that may be sent or are under way.
    pub fn held(&self) -> u32 {
        self.free.saturating_add(self.counted.values().sum())
    }

    /// Requests that may be sent.
    pub fn free(&self) -> u32 {
        self.free
    }

    /// Requests under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests in a whole window, as last seen.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// What no session held of the window when the state was last heard of, and when that ends.
    pub fn window(&self) -> Option<(u64, u64)> {
        match self.known {
            Known::Window { left, ends, .. } => Some((left, ends)),
            Known::Nothing | Known::Unlimited(_) => None,
        }
    }

    /// Whether the server reports no limits.
    pub fn is_unlimited(&self) -> bool {
        matches!(self.known, Known::Unlimited(_))
    }

    /// Until when the server asked for a pause.
    pub fn paused_until(&self) -> u64 {
        self.paused_until
    }
}

/// What one report says about a budget. It is encoded anew for each attempt, because times in it are counted from its
/// sending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News(Vec<Noted>);

impl News {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a report that is sent now.
    pub fn report(&self, budget: &str, wanted: u32, now: u64) -> BudgetReport {
        let event = |noted: &Noted| match *noted {
            Noted::Event(event) => event,
            Noted::Seen(Told { seen, ends }) => {
                ShareEvent::Seen(WindowSeen { ends_in_ms: ends.saturating_sub(now), ..seen })
            }
            Noted::Paused { until, refused } => ShareEvent::Paused { ms: until.saturating_sub(now), refused },
        };
        BudgetReport { budget: budget.into(), events: self.0.iter().map(event).collect(), wanted }
    }
}
