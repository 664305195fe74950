//! One shared budget.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use storage::planted::{Bug, planted};

use crate::model::{
    BudgetReport, SessionId, ShareAnswer, ShareEvent, SharedBudget, Standing, WindowAge, WindowSeen,
};

/// A request that nobody waits for any more can still reach its server for this long, ms.
pub const LINGER: u64 = 60_000;
/// How long a probe may be sent after the report that asked for it, ms.
pub const PROBE_VALID: u64 = 20_000;
/// How long a probe is waited for before another one is granted, ms.
const PROBE_PATIENCE: u64 = 60_000;
/// How long a node need not ask again about a server without limits, ms.
const UNLIMITED_VALID: u64 = 15_000;
/// Length of a window if none was seen that is longer, ms.
const DEFAULT_WINDOW: u64 = 15 * 60_000;
/// Longest window and pause that are believed, ms.
const LONGEST: u64 = 26 * 3_600_000;
/// One grant takes this part of what is left, and at most so many requests.
const GRANTS_A_WINDOW: i64 = 64;
const LARGEST_GRANT: i64 = 32;
/// Most entries about requests of ended sessions and requests without an answer.
const MAX_GONE: usize = 16;
/// More requests than any window has.
const PLENTY: u64 = 1 << 40;
/// A budget of which nothing was heard for so long is forgotten, ms.
const IDLE: u64 = 3_600_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Known {
    /// `probe`: who probes, and until when nobody else does.
    Unknown {
        probe: Option<(SessionId, u64)>,
    },
    /// `room` requests were left when it was last looked at, and `used` of them may have been sent since by nobody who
    /// holds them now.
    Window {
        room: i64,
        used: i64,
        ends: u64,
        id: Option<u64>,
    },
    Unlimited,
}

/// Requests that no live session answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Gone {
    requests: u64,
    /// Until when they can reach the server.
    arrives: u64,
    /// Until when they may be counted in a window of which nothing is known.
    counts: u64,
}

/// What the cluster knows of one budget. All times are those of [`ShareTime`](super::time::ShareTime), ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::state) struct Budget {
    known: Known,
    epoch: u64,
    /// Requests that sessions may send or have sent, as far as they did not report an outcome.
    held: BTreeMap<SessionId, u64>,
    gone: Vec<Gone>,
    /// The latest end of the validity of anything that was granted.
    promised: u64,
    paused_until: u64,
    limit: Option<u64>,
    /// The longest time to an end of a window that was seen.
    longest: u64,
    last_id: Option<u64>,
    /// When it was last reported on.
    heard: u64,
}

impl Budget {
    /// A budget of which nothing is known; its epochs begin with this one.
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            known: Known::Unknown { probe: None },
            epoch,
            held: BTreeMap::new(),
            gone: Vec::new(),
            promised: 0,
            paused_until: 0,
            limit: None,
            longest: 0,
            last_id: None,
            heard: 0,
        }
    }

    /// A session reports.
    pub(super) fn report(&mut self, session: SessionId, report: &BudgetReport, now: u64) -> ShareAnswer {
        self.pass_time(now);
        self.heard = now;
        for event in &report.events {
            self.apply(session, event, now);
        }
        let granted = self.grant(session, report.wanted, now);
        self.answer(granted, now)
    }

    fn apply(&mut self, session: SessionId, event: &ShareEvent, now: u64) {
        match *event {
            ShareEvent::Spent { epoch, requests, window } => {
                let requests = self.release(session, epoch, requests);
                if let Known::Window { used, id, .. } = &mut self.known {
                    // What an earlier window counted is not missing in this one.
                    if WindowAge::of(window, *id) != WindowAge::Older {
                        *used = used.saturating_add(signed(requests));
                    }
                }
            }
            ShareEvent::Returned { epoch, requests } => {
                self.release(session, epoch, requests);
            }
            ShareEvent::Lost { epoch, requests } => {
                let requests = self.release(session, epoch, requests);
                self.lose(requests, now.saturating_add(LINGER), now);
            }
            ShareEvent::Seen(seen) => self.learn(&seen, now),
            ShareEvent::Unlimited { epoch } => {
                let unknown = matches!(self.known, Known::Unknown { .. });
                if unknown && epoch == self.epoch && self.limit.is_none() {
                    self.become_known(Known::Unlimited);
                }
            }
            ShareEvent::Paused { ms, refused } => {
                self.paused_until = self.paused_until.max(now.saturating_add(ms.min(LONGEST)));
                if refused && !matches!(self.known, Known::Window { .. }) {
                    // One probe at a time once the pause is over.
                    self.forget();
                }
            }
        }
    }

    /// A session no longer holds so many requests; returns how many of them it held.
    fn release(&mut self, session: SessionId, epoch: u64, requests: u32) -> u64 {
        let Some(held) = self.held.get_mut(&session) else { return 0 };
        let released = u64::from(requests).min(*held);
        *held -= released;
        let none_left = *held == 0;
        if none_left {
            self.held.remove(&session);
        }
        match &mut self.known {
            Known::Unknown { probe } if none_left || epoch == self.epoch => {
                *probe = probe.filter(|(prober, _)| *prober != session);
            }
            _ => {}
        }
        released
    }

    /// Requests of which nobody will know what became of them.
    fn lose(&mut self, requests: u64, arrives: u64, now: u64) {
        let counts = match &mut self.known {
            Known::Window { used, .. } => {
                *used = used.saturating_add(signed(requests));
                arrives
            }
            Known::Unknown { .. } => arrives.max(now.saturating_add(self.longest.max(DEFAULT_WINDOW))),
            Known::Unlimited => arrives,
        };
        if requests > 0 {
            self.gone.push(Gone { requests, arrives, counts });
        }
        if self.gone.len() > MAX_GONE {
            let first = self.gone.remove(0);
            let next = &mut self.gone[0];
            next.requests = next.requests.saturating_add(first.requests);
            (next.arrives, next.counts) = (next.arrives.max(first.arrives), next.counts.max(first.counts));
        }
    }

    /// A session has ended. What it held may have been sent, or may be sent until its validity is over.
    pub(super) fn end_session(&mut self, session: SessionId, now: u64) -> bool {
        let Some(held) = self.held.remove(&session) else { return false };
        if let Known::Unknown { probe } = &mut self.known {
            *probe = probe.filter(|(prober, _)| *prober != session);
        }
        if !planted(Bug::DeadShareReturns) {
            self.lose(held, self.promised.saturating_add(LINGER), now);
        }
        true
    }

    fn learn(&mut self, seen: &WindowSeen, now: u64) {
        let at_least = Some(seen.remaining.saturating_add(1)).max(self.limit);
        self.limit = seen.limit.or(at_least).map(|limit| limit.clamp(1, PLENTY));
        let lasts = seen.ends_in_ms.min(LONGEST);
        self.longest = self.longest.max(lasts);
        let its_end = now.saturating_add(lasts);
        let remaining = signed(seen.remaining);
        let current = seen.epoch == self.epoch;
        match &mut self.known {
            Known::Window { room, used, ends, id } => match WindowAge::of(seen.window, *id) {
                WindowAge::Newer => self.establish(remaining, its_end, seen.window, now),
                WindowAge::Older if !current => {}
                same_or_older => {
                    if same_or_older == WindowAge::Older {
                        // The server has started a new, shorter window.
                        (*ends, *id) = (its_end, seen.window);
                    }
                    // Less than was counted here: somebody else uses this budget as well.
                    let held: i64 = self.held.values().map(|held| signed(*held)).sum();
                    if remaining < room.saturating_sub(*used).saturating_sub(held) {
                        *room = remaining.saturating_add(*used);
                    }
                }
            },
            // A late answer from the previous window says nothing about this one.
            Known::Unknown { .. }
                if !current && WindowAge::of(seen.window, self.last_id) != WindowAge::Newer => {}
            Known::Unknown { .. } | Known::Unlimited => self.establish(remaining, its_end, seen.window, now),
        }
    }

    /// A new window: what its first answer leaves, less everything that may still arrive in it. What sessions hold is
    /// counted in [`Self::left`].
    fn establish(&mut self, room: i64, ends: u64, id: Option<u64>, now: u64) {
        self.gone.retain(|gone| now < gone.arrives);
        let used = self.gone.iter().map(|gone| signed(gone.requests)).fold(0, i64::saturating_add);
        self.become_known(Known::Window { room, used, ends, id });
    }

    fn become_known(&mut self, known: Known) {
        self.known = known;
        self.epoch += 1;
    }

    fn forget(&mut self) {
        self.become_known(Known::Unknown { probe: None });
    }

    fn pass_time(&mut self, now: u64) {
        match self.known {
            Known::Window { ends, id, .. } if now >= ends => {
                self.last_id = id.or(self.last_id);
                self.forget();
            }
            Known::Unknown { probe: Some((_, until)) } if now >= until => {
                self.known = Known::Unknown { probe: None };
            }
            _ => {}
        }
        let unknown = matches!(self.known, Known::Unknown { .. });
        self.gone.retain(|gone| now < gone.arrives || (unknown && now < gone.counts));
    }

    fn total_held(&self) -> u64 {
        self.held.values().fold(0, |sum, held| sum.saturating_add(*held))
    }

    /// What can be granted in a known window; negative while more may arrive than it takes.
    fn left(&self) -> Option<i64> {
        match self.known {
            Known::Window { room, used, .. } => {
                Some(room.saturating_sub(used).saturating_sub(signed(self.total_held())))
            }
            Known::Unknown { .. } | Known::Unlimited => None,
        }
    }

    fn may_probe(&self) -> bool {
        let Known::Unknown { probe } = self.known else { return false };
        let gone: u64 = self.gone.iter().map(|gone| gone.requests).fold(0, u64::saturating_add);
        let unresolved = self.total_held().saturating_add(gone);
        (probe.is_none() || planted(Bug::ProbeTwice)) && self.limit.is_none_or(|limit| unresolved < limit)
    }

    fn grant(&mut self, session: SessionId, wanted: u32, now: u64) -> u32 {
        if wanted == 0 || now < self.paused_until {
            return 0;
        }
        let granted = match self.left() {
            Some(left) if left > 0 => (left / GRANTS_A_WINDOW).clamp(1, LARGEST_GRANT).min(i64::from(wanted)),
            None if self.may_probe() => {
                self.promised = self.promised.max(now.saturating_add(PROBE_VALID));
                self.known = Known::Unknown { probe: Some((session, now.saturating_add(PROBE_PATIENCE))) };
                1
            }
            _ => 0,
        };
        let granted = u32::try_from(granted).unwrap_or(0);
        if granted > 0 {
            let held = self.held.entry(session).or_default();
            *held = held.saturating_add(u64::from(granted));
        }
        granted
    }

    fn answer(&mut self, granted: u32, now: u64) -> ShareAnswer {
        let standing = match self.known {
            Known::Unknown { .. } => Standing::Unknown { valid_ms: PROBE_VALID },
            Known::Window { ends, id, .. } => {
                // What the session holds already is valid until then as well.
                self.promised = self.promised.max(ends);
                let left = self.left().map_or(0, |left| u64::try_from(left).unwrap_or(0));
                Standing::Window { left, ends_in_ms: ends.saturating_sub(now), window: id }
            }
            Known::Unlimited => Standing::Unlimited { valid_ms: UNLIMITED_VALID },
        };
        let paused_ms = self.paused_until.saturating_sub(now);
        ShareAnswer { epoch: self.epoch, granted, standing, limit: self.limit, paused_ms }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_idle(&self, now: u64) -> bool {
        let over = match self.known {
            Known::Window { ends, .. } => now >= ends,
            Known::Unknown { .. } | Known::Unlimited => true,
        };
        over && self.held.is_empty()
            && self.gone.iter().all(|gone| now >= gone.arrives.max(gone.counts))
            && now >= self.paused_until
            && now >= self.heard.saturating_add(IDLE)
    }

    /// As replicas show it.
    pub(super) fn view(&self) -> SharedBudget {
        let left = self.left();
        let open = match self.known {
            Known::Unknown { .. } => self.may_probe(),
            Known::Window { .. } => left.is_some_and(|left| left > 0),
            Known::Unlimited => true,
        };
        let left = left.map(|left| u64::try_from(left).unwrap_or(0));
        SharedBudget { epoch: self.epoch, left, held: self.total_held(), open }
    }

    pub(super) fn holders(&self) -> impl Iterator<Item = SessionId> {
        self.held.keys().copied()
    }

    /// Forgets the shares, as the planted bug does.
    pub(in crate::state) fn without_shares(&self) -> Self {
        Self { held: BTreeMap::new(), ..self.clone() }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some((session, _)) = self.held.iter().find(|(_, held)| **held == 0) {
            return Err(format!("session {session} is said to hold a share of nothing"));
        }
        match self.known {
            Known::Unknown { probe: Some((session, _)) } if !self.held.contains_key(&session) => {
                Err(format!("session {session} probes and holds no request"))
            }
            _ => Ok(()),
        }
    }
}

fn signed(requests: u64) -> i64 {
    i64::try_from(requests.min(PLENTY)).unwrap_or(i64::MAX)
}
