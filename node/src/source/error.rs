//! Why a request failed.

use std::fmt;
use std::time::Duration;

use storage::ids::UserId;

use super::cursor::CursorLoops;

/// The request, for messages: the address of the resource without its query or any secret, and the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Scheme, host and path.
    pub url: Box<str>,
    /// The account, if any.
    pub user: Option<UserId>,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        match &self.user {
            Some(user) => write!(f, " for user {user}"),
            None => Ok(()),
        }
    }
}

/// Why an account yields nothing, now and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoneReason {
    /// Visible to its followers only (401).
    Protected,
    /// No such account (404).
    NotFound,
    /// The network suspended it (403, or error code 63).
    Suspended,
    /// It shows its followers to nobody (an empty list of an account that has some).
    HiddenFollowers,
    /// Its owner deleted it.
    Deleted,
    /// Its owner deactivated it, perhaps for a time.
    Deactivated,
    /// A moderator took it down.
    TakenDown,
    /// It blocks the account by which the crawl asks, or is blocked by it.
    Blocked,
    /// It asks not to be shown to those who are not signed in, and the settings respect that.
    SignedInOnly,
}

impl fmt::Display for GoneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Protected => "protected",
            Self::NotFound => "not found",
            Self::Suspended => "suspended",
            Self::HiddenFollowers => "hides its followers",
            Self::Deleted => "deleted",
            Self::Deactivated => "deactivated",
            Self::TakenDown => "taken down",
            Self::Blocked => "blocked",
            Self::SignedInOnly => "shown to signed-in users only",
        })
    }
}

/// Why a request failed, classified by what its caller should do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// The budget is spent: retry from this address once it has been renewed.
    #[error("{asked}: rate limited (status {status}); {}", wait_for(*retry_in))]
    Limited {
        /// What was asked.
        asked: Asked,
        /// 429, 420, or 400 with error code 88 (API v1).
        status: u16,
        /// How long from now, if the answer says so.
        retry_in: Option<Duration>,
    },
    /// The account is gone: record the reason, do not retry.
    #[error("{asked}: {reason} (status {status})")]
    Gone {
        /// What was asked.
        asked: Asked,
        /// The HTTP status.
        status: u16,
        /// Why.
        reason: GoneReason,
    },
    /// The account may be at another host by now: [`locate`](super::Source::locate) it and ask again.
    #[error("{asked}: the account is not there any more; located again")]
    Moved {
        /// What was asked.
        asked: Asked,
    },
    /// A temporary failure: 5xx, timeouts, refused and broken connections. Retry later.
    #[error("{asked}: {what}; {}", wait_for(*retry_after))]
    Passing {
        /// What was asked.
        asked: Asked,
        /// What went wrong.
        what: String,
        /// How long to wait from now, if the answer says so.
        retry_after: Option<Duration>,
    },
    /// An unusable answer. Usually temporary: retry later.
    #[error(
        "{asked}: answered with garbage: {what}; tried again later, and an operator's matter if it lasts"
    )]
    Garbage {
        /// What was asked.
        asked: Asked,
        /// What is wrong with it.
        what: String,
    },
    /// The next page was already seen: restart the walk later.
    #[error("{asked}: {loops}")]
    Loops {
        /// What was asked.
        asked: Asked,
        /// The cursor.
        loops: CursorLoops,
    },
    /// A retry would be refused again: an operator has to act.
    #[error("{asked}: refused{}: {what}; {remedy}", status_text(*status))]
    Refused {
        /// What was asked.
        asked: Asked,
        /// The HTTP status; `None` if it was refused before it was sent.
        status: Option<u16>,
        /// The server's message, shortened.
        what: String,
        /// What the operator can do.
        remedy: &'static str,
    },
}

impl SourceError {
    /// Whether the same request can succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Gone { .. } | Self::Refused { .. })
    }

    /// How long the network asked to wait, if it did.
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_in, .. } => *retry_in,
            Self::Passing { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

fn wait_for(wait: Option<Duration>) -> String {
    match wait {
        Some(wait) => format!("tried again in {} s", wait.as_secs()),
        None => "tried again later".to_owned(),
    }
}

fn status_text(status: Option<u16>) -> String {
    status.map_or_else(String::new, |status| format!(" (status {status})"))
}
