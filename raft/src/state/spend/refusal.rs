//! What the ledger refuses.

use crate::model::{Change, MAX_APP_NAME, MAX_APPS, MAX_CHANGES, SessionId, SpendReport};

/// Why a report or a setting is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpendRefusal {
    /// The session has ended, or was never opened.
    #[error("session {0} holds no money: it has ended; drop its shares")]
    NoSession(SessionId),
    /// A number that is neither the last one nor the next.
    #[error(
        "report {got} of session {session} is out of turn after report {last}; drop the session's shares and open a new one"
    )]
    OutOfTurn {
        /// The session.
        session: SessionId,
        /// The report's number.
        got: u64,
        /// The last number that was applied.
        last: u64,
    },
    /// More than the bounds allow.
    #[error("{what}: at most {most} are allowed")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The bound.
        most: usize,
    },
}

/// Refuses a report that is too large.
pub(super) fn check_size(report: &SpendReport) -> Result<(), SpendRefusal> {
    let too_many = |what, most| Err(SpendRefusal::TooMany { what, most });
    if report.changes.len() > MAX_CHANGES {
        return too_many("changes in a report", MAX_CHANGES);
    }
    if report.dates.len() > MAX_APPS || report.apps.len() > MAX_APPS {
        return too_many("apps in a report", MAX_APPS);
    }
    let mut names = report.apps.iter().map(|(app, _)| app).chain(report.changes.iter().map(Change::app));
    match names.any(|name| name.len() > MAX_APP_NAME) {
        true => too_many("bytes in the name of an app", MAX_APP_NAME),
        false => Ok(()),
    }
}
