//! Why a job stops, classified by what follows from it.

use std::time::Duration;

use api::model::{GoneReason, Progress};
use storage::dataset::DatasetError;

use crate::session::Stop;
use crate::source::{self, SourceError};

/// Why a job stops.
#[derive(Debug)]
pub(super) enum JobError {
    /// The job no longer belongs to this node.
    Abandoned,
    /// The node stops.
    HandBack,
    /// No address of the node has budget left.
    Limited {
        /// Until one has.
        after: Duration,
    },
    /// What the network charges cannot be paid now.
    NoMoney {
        /// What is used up.
        what: String,
        /// When it is worth to try again.
        after: Duration,
    },
    /// The host of the account takes no request now.
    HostWaits {
        host: String,
        /// Not before.
        after: Duration,
        why: HostWait,
    },
    /// The account is gone.
    Gone(GoneReason),
    /// Another attempt may succeed.
    Retryable {
        what: String,
        /// How long the network asked to wait.
        after: Option<Duration>,
    },
    /// A file could not be written or read: the worker's draft can no longer be trusted.
    DraftLost { what: String },
    /// The dataset cannot be used at all: the disk is full, or its folder is gone.
    DatasetDown { what: String },
    /// The network's address does not answer. The account is not to blame.
    SourceDown { what: String },
    /// The cursors repeat.
    CursorLoop { what: String },
    /// Another attempt would fail as well.
    Permanent { what: String },
    /// The node itself cannot send requests.
    NoAddress(String),
}

/// Why a host takes no request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostWait {
    /// Enough requests are in flight to it.
    Busy,
    /// Its budget is spent on all addresses.
    Limited,
    /// It has not answered this job's request.
    Away { what: String },
    /// It has not answered those of others, and rests: it was not asked for this job.
    Resting { what: String },
}

impl JobError {
    /// The same for a job that needs the host for one of many accounts, and does not wait for it.
    pub(super) fn of_one_among_many(self) -> Self {
        match self {
            Self::HostWaits { after, why: HostWait::Away { what } | HostWait::Resting { what }, .. } => {
                Self::Retryable { what, after: Some(after) }
            }
            Self::HostWaits { after, .. } => Self::Limited { after },
            other => other,
        }
    }
}

/// The error that stops a job, and its progress if there is any new.
#[derive(Debug)]
pub(super) struct JobStop {
    pub(super) error: JobError,
    pub(super) progress: Option<Progress>,
}

impl From<JobError> for JobStop {
    fn from(error: JobError) -> Self {
        Self { error, progress: None }
    }
}

impl From<Stop> for JobError {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Abandon => Self::Abandoned,
            Stop::HandBack => Self::HandBack,
        }
    }
}

impl From<DatasetError> for JobError {
    fn from(error: DatasetError) -> Self {
        let what = error.to_string();
        match error {
            DatasetError::NameTooLong { .. } | DatasetError::UnfitFollower { .. } => Self::Permanent { what },
            error if error.is_of_the_place() => Self::DatasetDown { what },
            _ => Self::DraftLost { what },
        }
    }
}

impl From<SourceError> for JobError {
    /// On `Limited` and `Moved`, the caller asks again at once; here they count as retryable.
    fn from(error: SourceError) -> Self {
        let what = error.to_string();
        let after = error.retry_in();
        match error {
            SourceError::Gone { reason, .. } => Self::Gone(match reason {
                source::GoneReason::Protected => GoneReason::Protected,
                source::GoneReason::NotFound => GoneReason::NotFound,
                source::GoneReason::Suspended => GoneReason::Suspended,
                source::GoneReason::HiddenFollowers => GoneReason::HiddenFollowers,
                source::GoneReason::Deleted => GoneReason::Deleted,
                source::GoneReason::Deactivated => GoneReason::Deactivated,
                source::GoneReason::TakenDown => GoneReason::TakenDown,
                source::GoneReason::Blocked => GoneReason::Blocked,
                source::GoneReason::SignedInOnly => GoneReason::LoginRequired,
            }),
            SourceError::Refused { .. } => Self::Permanent { what },
            SourceError::Loops { .. } => Self::CursorLoop { what },
            SourceError::Limited { .. }
            | SourceError::Moved { .. }
            | SourceError::Passing { .. }
            | SourceError::Garbage { .. } => Self::Retryable { what, after },
        }
    }
}
