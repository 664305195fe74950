//! Why a job comes to a halt, by what follows from it.

use std::time::Duration;

use api::model::{GoneReason, Progress};
use storage::dataset::DatasetError;

use crate::session::Stop;
use crate::source::{self, SourceError};

/// Why a job comes to a halt.
#[derive(Debug)]
pub(super) enum JobError {
    /// It is not this node's any more.
    Abandoned,
    /// The node stops.
    HandBack,
    /// No address of the node has budget left.
    Limited {
        /// Until one has.
        after: Duration,
    },
    /// The account is out of reach.
    Gone(GoneReason),
    /// Another attempt may succeed.
    Retryable {
        what: String,
        /// How long the network asked to be left alone.
        after: Option<Duration>,
    },
    /// A file could not be written or read: what the worker has of it cannot be trusted.
    DraftLost { what: String },
    /// The same, and it would be so with any other file: the disk is full, or the dataset's folder is gone.
    DatasetDown { what: String },
    /// Nobody answers at the network's address. The account has no part in it.
    SourceDown { what: String },
    /// The pages go round in a circle.
    CursorLoop { what: String },
    /// Another attempt would fail as well.
    Permanent { what: String },
    /// The node itself cannot send requests.
    NoAddress(String),
}

/// A halt, and where the job can go on if that is new.
#[derive(Debug)]
pub(super) struct JobStop {
    pub(super) trouble: JobError,
    pub(super) progress: Option<Progress>,
}

impl From<JobError> for JobStop {
    fn from(trouble: JobError) -> Self {
        Self { trouble, progress: None }
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
            DatasetError::NotMounted { .. } | DatasetError::BadMarker { .. } => Self::DatasetDown { what },
            DatasetError::File(file) if file.is_of_the_place() => Self::DatasetDown { what },
            _ => Self::DraftLost { what },
        }
    }
}

impl From<SourceError> for JobError {
    /// `Limited` is for the caller to ask from another address; taken as it is, it passes.
    fn from(error: SourceError) -> Self {
        let what = error.to_string();
        let after = error.retry_in();
        match error {
            SourceError::Gone { reason, .. } => Self::Gone(match reason {
                source::GoneReason::Protected => GoneReason::Protected,
                source::GoneReason::NotFound => GoneReason::NotFound,
                source::GoneReason::Suspended => GoneReason::Suspended,
            }),
            SourceError::Refused { .. } => Self::Permanent { what },
            SourceError::Loops { .. } => Self::CursorLoop { what },
            SourceError::Limited { .. } | SourceError::Passing { .. } | SourceError::Garbage { .. } => {
                Self::Retryable { what, after }
            }
        }
    }
}
