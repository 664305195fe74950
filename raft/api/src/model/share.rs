//! The messages about budgets that several nodes share.

use serde::{Deserialize, Serialize};

use crate::wire::bounds::{MAX_SHARE_EVENTS, MAX_SHARED, at_most};

use super::SessionId;

/// What a session reports about shared budgets, and what it wants of them. A session has one such report under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareReport {
    /// The session.
    pub session: SessionId,
    /// Number of the report in the session, from 1. A number that was applied already changes nothing and gets the same
    /// answer.
    pub sequence: u64,
    /// By budget.
    #[serde(deserialize_with = "at_most::<{ MAX_SHARED }, _, _>")]
    pub budgets: Vec<BudgetReport>,
}

/// The part of a [`ShareReport`] about one budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetReport {
    /// The budget's name.
    pub budget: Box<str>,
    /// What became of requests, and what answers told, in their order.
    #[serde(deserialize_with = "at_most::<{ MAX_SHARE_EVENTS }, _, _>")]
    pub events: Vec<ShareEvent>,
    /// How many more requests the session would send.
    pub wanted: u32,
}

/// What happened to a session's share of a budget. `epoch` is that of the [`ShareAnswer`] that was the last one when the
/// request was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareEvent {
    /// Requests were answered.
    Spent {
        /// When they were taken.
        epoch: u64,
        /// How many.
        requests: u32,
        /// The end of the window that counted them as the server names it, Unix seconds.
        window: Option<u64>,
    },
    /// No answer came: the server may count them yet.
    Lost {
        /// When they were taken.
        epoch: u64,
        /// How many.
        requests: u32,
    },
    /// They were never sent, and never will be.
    Returned {
        /// When they were granted.
        epoch: u64,
        /// How many.
        requests: u32,
    },
    /// What an answer told of the window that counted it.
    Seen(WindowSeen),
    /// An answer told of no limit.
    Unlimited {
        /// When its request was taken.
        epoch: u64,
    },
    /// The server asks for a pause.
    Paused {
        /// For how long from now, ms.
        ms: u64,
        /// Whether it refused the request.
        refused: bool,
    },
}

/// What an answer told of the window that counted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSeen {
    /// When the answered request was taken.
    pub epoch: u64,
    /// Requests left after it.
    pub remaining: u64,
    /// Requests in a whole window.
    pub limit: Option<u64>,
    /// Time until the window has certainly ended, ms.
    pub ends_in_ms: u64,
    /// The end of the window as the server names it, Unix seconds.
    pub window: Option<u64>,
}

/// What window an answer is about, compared with the known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowAge {
    /// An earlier one.
    Older,
    /// That one, or it cannot be told.
    Same,
    /// A later one.
    Newer,
}

impl WindowAge {
    /// Compares the window that an answer names with the known one, by their ends in Unix seconds. A server that adds whole
    /// seconds to its clock may name one window by two neighbouring seconds.
    pub fn of(named: Option<u64>, known: Option<u64>) -> Self {
        match (named, known) {
            (Some(named), Some(known)) if named > known.saturating_add(1) => Self::Newer,
            (Some(named), Some(known)) if named.saturating_add(1) < known => Self::Older,
            _ => Self::Same,
        }
    }
}

/// The answer to a [`ShareReport`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SharesAnswer {
    /// One for each budget of the report, in its order.
    pub budgets: Vec<ShareAnswer>,
}

/// The answer about one budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareAnswer {
    /// Changes whenever what was known no longer holds.
    pub epoch: u64,
    /// How many more requests the session may send.
    pub granted: u32,
    /// What is known.
    pub standing: Standing,
    /// Requests in a whole window, as last seen.
    pub limit: Option<u64>,
    /// For how long nothing may be sent, ms; 0 if there is no pause.
    pub paused_ms: u64,
}

/// What is known of a shared budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Nothing. A granted request is a probe; `valid_ms` is how long after the sending of the report it may be sent.
    Unknown {
        /// Milliseconds.
        valid_ms: u64,
    },
    /// Its window. All that the session holds may be sent until it ends, counted from the sending of the report.
    Window {
        /// Requests that no session holds.
        left: u64,
        /// Milliseconds.
        ends_in_ms: u64,
        /// Its end as the server names it, Unix seconds.
        window: Option<u64>,
    },
    /// The server reports no limits: requests need no grant for so long, counted from the sending of the report.
    Unlimited {
        /// Milliseconds.
        valid_ms: u64,
    },
    /// There are too many budgets.
    Full,
}

/// A shared budget as a replica knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedBudget {
    /// Changes whenever what was known no longer holds.
    pub epoch: u64,
    /// Requests that no session holds, in a known window.
    pub left: Option<u64>,
    /// Requests that sessions hold.
    pub held: u64,
    /// Whether a session may be granted something, apart from the time that has passed.
    pub open: bool,
}
