//! Budgets that several nodes share: those of tokens and of hosts with a token, and those of outside addresses that
//! nodes behind a NAT have in common.
//!
//! A server counts requests in windows and tells in its answers how many are left. The nodes of a cluster that share such
//! a budget must not send more than that together. Asking the replicated state before each request would log an entry a
//! page. Therefore a session takes *shares* of a few requests each, and reports now and then what became of them and what
//! answers told. Its side is [`Share`].
//!
//! # Who believes what
//!
//! - The **state** ([`Shares`]) believes that everything that a session holds may reach the server at any moment until the
//!   session reports an outcome. It knows of a window what the first answer of it left (`room`); of that it grants what
//!   nobody holds and what has not been sent.
//! - A **session** believes that it may send what it was granted until a time by its own clock, which it counts from
//!   before it sent the report that was answered. What is in a report without an answer is in no other report.
//! - The **server** believes nothing of this. It counts what arrives in the window that is open by its clock.
//!
//! So in a window that begins with an answer that left `room`: what arrives later <= what sessions held at that moment
//! + what may still arrive of sessions that had ended + what is granted later <= `room`.
//!
//! # Windows
//!
//! *Nothing is known*: one session at a time is granted one request, the probe. Its answer sets the window. What other
//! sessions hold then, and what they have in flight, counts in the new window: a request of the old window may arrive in
//! it. When they report that it was never sent, or that the old window counted it (answers name their window), it can be
//! granted again. An answer that names a newer window sets it as well, whoever sent the request and whenever.
//!
//! *A window ends* by a time of its own, which never runs faster than the real one: the end is counted from
//! when the state applies what an answer told, which is later than when the answer came. A node ends the validity of its
//! share earlier, whatever the delays: it counts from before its report was sent, and takes off a hundredth for clocks
//! that run at different speeds. Between the real end and these two a request counts in the next window, and what its
//! answer tells sets that.
//!
//! *No limits*: an answer without limits frees the budget, and nodes need no grants until one refuses.
//!
//! # Every point at which somebody can stop
//!
//! - *Before a report is applied*: nothing was granted.
//! - *After it, its answer lost*: the session repeats the report and gets the same answer (as TWM-S2). If it died: next.
//! - *A session ends* (killed, cut off, frozen): what it held counts as used in this window, and in each that begins until
//!   [`LINGER`] after the latest time at which anything that was granted could be sent. It is never granted again in a
//!   window in which it can have arrived. Reports of the ended session are refused, and its node drops what is left of
//!   the share.
//! - *A node is frozen* between taking a request and sending it, and wakes: the request counts as held while the session
//!   lives, and for [`LINGER`] after the validity of the share if it ended.
//! - *A probe without an answer* counts for a whole window, of the longest length that was seen or 15 minutes. Another
//!   probe goes when it was reported as lost, or after a minute; the window that an answer sets has all of them taken off.
//! - *The leader or any replica stops*: the shares are part of the replicated state, which has no timer. Time between two
//!   leaders does not count.
//! - *A server that refuses* (429, `Retry-After`): nothing is granted in the cluster for that time. What other nodes hold
//!   already they may still send; it is little.
//!
//! Assumed: a process that was frozen for longer than [`LINGER`] beyond the validity of its share between taking a
//! request and sending it does not send it. A server that names no windows in its answers, and begins another one
//! before it said so, is over by what was granted of the old one.
//!
//! # Bounds
//!
//! At most [`MAX_BUDGETS`] budgets with names of at most [`MAX_BUDGET_NAME`](api::wire::bounds::MAX_BUDGET_NAME) bytes.
//! One that nobody holds a share of and nobody has asked for in an hour is forgotten when others come.

mod budget;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod time;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{BudgetReport, SessionId, ShareAnswer, ShareReport, SharedBudget, SharesAnswer, Standing};

use super::saved::Saved;
pub(in crate::state) use budget::Budget;
pub use budget::{LINGER, PROBE_VALID};
pub use share::{News, Outcome, Share, Taken};
pub use time::Moment;
use time::ShareTime;

/// Most budgets.
pub const MAX_BUDGETS: usize = 32_768;
/// Whenever their number is a multiple of this, idle budgets are looked for.
const SWEEP_EVERY: usize = 512;

/// The name of a budget.
pub type BudgetName = Box<str>;

/// Scalars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::state) struct ShareHead {
    time: ShareTime,
    /// The largest epoch of a budget that was forgotten.
    epochs: u64,
}

/// The last report of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(in crate::state) struct LastReport {
    sequence: u64,
    answer: SharesAnswer,
}

/// Why a report is refused; it changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfTurn {
    /// The number that is next.
    pub expected: u64,
}

/// All shared budgets.
#[derive(Default)]
pub struct Shares {
    pub(super) head: Saved<ShareHead>,
    pub(super) budgets: BTreeMap<BudgetName, Saved<Budget>>,
    pub(super) sessions: BTreeMap<SessionId, Saved<LastReport>>,
    /// Records that the next checkpoint removes.
    pub(super) forgotten: Vec<BudgetName>,
    pub(super) ended: Vec<SessionId>,
}

impl Shares {
    /// Applies the report of a live session, once.
    ///
    /// # Errors
    /// The report is neither the last one again nor the next.
    pub fn report(&mut self, report: &ShareReport, moment: Moment) -> Result<SharesAnswer, OutOfTurn> {
        let last = self.sessions.get(&report.session);
        if let Some(last) = last.filter(|last| last.sequence == report.sequence) {
            return Ok(last.answer.clone());
        }
        let expected = last.map_or(1, |last| last.sequence.saturating_add(1));
        if report.sequence != expected {
            return Err(OutOfTurn { expected });
        }
        self.head.change().time.advance(moment);
        let budgets = report.budgets.iter().map(|news| self.apply(report.session, news)).collect();
        let answer = SharesAnswer { budgets };
        let last = LastReport { sequence: report.sequence, answer: answer.clone() };
        self.sessions.insert(report.session, Saved::new(last));
        Ok(answer)
    }

    fn apply(&mut self, session: SessionId, report: &BudgetReport) -> ShareAnswer {
        let now = self.head.time.now();
        if !self.budgets.contains_key(&report.budget) {
            if self.budgets.len() >= MAX_BUDGETS || self.budgets.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
                self.forget_idle(now);
            }
            if self.budgets.len() >= MAX_BUDGETS {
                let (epoch, granted, limit, paused_ms) = (self.head.epochs, 0, None, 0);
                return ShareAnswer { epoch, granted, standing: Standing::Full, limit, paused_ms };
            }
        }
        let first = self.head.epochs + 1;
        let new = || Saved::new(Budget::new(first));
        let budget = self.budgets.entry(report.budget.clone()).or_insert_with(new);
        budget.change().report(session, report, now)
    }

    fn forget_idle(&mut self, now: u64) {
        let head = self.head.change();
        let forgotten = &mut self.forgotten;
        self.budgets.retain(|name, budget| {
            let idle = budget.is_idle(now);
            if idle {
                head.epochs = head.epochs.max(budget.epoch());
                forgotten.push(name.clone());
            }
            !idle
        });
    }

    /// A session has ended.
    pub fn end_session(&mut self, session: SessionId) {
        if self.sessions.remove(&session).is_none() {
            return;
        }
        self.ended.push(session);
        let now = self.head.time.now();
        for budget in self.budgets.values_mut() {
            if budget.holders().any(|holder| holder == session) {
                budget.change().end_session(session, now);
            }
        }
    }

    /// The sessions that have reported.
    pub fn holders(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    /// A budget, if it is known.
    pub fn budget(&self, name: &str) -> Option<SharedBudget> {
        self.budgets.get(name).map(|budget| budget.view())
    }

    /// TWM-B1: only live sessions hold shares, and a probe is a request that its session holds.
    ///
    /// # Errors
    /// Which one does not, and of what.
    pub fn check(&self) -> Result<(), String> {
        for (name, budget) in &self.budgets {
            if let Some(session) = budget.holders().find(|session| !self.sessions.contains_key(session)) {
                return Err(format!("session {session} has ended and holds a share of {name}"));
            }
            budget.check().map_err(|what| format!("{name}: {what}"))?;
        }
        Ok(())
    }
}
