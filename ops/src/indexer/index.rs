//! The interface to both kinds of index, with the same guarantees.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::embedded::{EmbeddedError, EmbeddedIndex};
use super::inspection::{Buckets, Findings};
use super::question::Question;
use super::server::{SearchServer, ServerError};
use super::tweet::Tweet;
use crate::stream::Position;

/// The position in the stream, stored with the indexed tweets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The stream.
    #[serde(flatten)]
    pub(super) position: Position,
    /// Total number of entries refused for good.
    pub(super) dead: u64,
}

impl Progress {
    pub(super) const START: Self = Self { position: Position::START, dead: 0 };
}

/// A tweet that the index refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Its position among those that were added together.
    pub(super) place: usize,
    pub(super) reason: String,
}

/// Why an index can no longer be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum IndexError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("a task of the index broke: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// An index. Clones share it.
#[derive(Clone)]
pub(super) enum Index {
    Embedded(Arc<EmbeddedIndex>),
    Server(Arc<SearchServer>),
}

impl Index {
    /// A description of it, for messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Embedded(index) => format!("embedded, in {}", index.folder().display()),
            Self::Server(server) => server.to_string(),
        }
    }

    /// What prevents it from accepting tweets now.
    pub(super) fn trouble(&self) -> Option<String> {
        match self {
            Self::Embedded(_) => None,
            Self::Server(server) => server.trouble(),
        }
    }

    /// The position in the stream. Waits for a server that does not answer.
    pub(super) async fn progress(&self) -> Result<Progress, IndexError> {
        match self {
            Self::Embedded(index) => blocking(index, EmbeddedIndex::progress).await,
            Self::Server(server) => Ok(server.prepare().await?),
        }
    }

    /// Adds tweets, each replacing an earlier one with its id, and returns those refused for good. Waits for a server
    /// that is busy or does not answer.
    pub(super) async fn add(&self, tweets: &Arc<Vec<Tweet>>) -> Result<Vec<Refused>, IndexError> {
        match self {
            Self::Embedded(index) => {
                let tweets = Arc::clone(tweets);
                blocking(index, move |index| index.add(&tweets)).await
            }
            Self::Server(server) => Ok(server.add(tweets).await?),
        }
    }

    /// Makes added tweets durable, together with the position.
    pub(super) async fn commit(&self, progress: Progress) -> Result<(), IndexError> {
        match self {
            Self::Embedded(index) => blocking(index, move |index| index.commit(progress)).await,
            Self::Server(server) => Ok(server.keep(progress).await?),
        }
    }

    /// Number of searchable tweets.
    pub(super) async fn count(&self) -> Result<u64, IndexError> {
        match self {
            Self::Embedded(index) => Ok(index.count()),
            Self::Server(server) => Ok(server.count().await?),
        }
    }

    /// The time range of matching tweets.
    pub(super) async fn extent(&self, question: &Question) -> Result<Option<(i64, i64)>, IndexError> {
        match self {
            Self::Embedded(index) => {
                let question = question.clone();
                blocking(index, move |index| index.extent(&question)).await
            }
            Self::Server(server) => Ok(server.extent(question).await?),
        }
    }

    /// Inspects all matching tweets. Without buckets, none are counted over time.
    pub(super) async fn find(
        &self,
        question: &Question,
        buckets: Option<Buckets>,
    ) -> Result<Findings, IndexError> {
        match self {
            Self::Embedded(index) => {
                let question = question.clone();
                blocking(index, move |index| index.find(&question, buckets)).await
            }
            Self::Server(server) => Ok(server.find(question, buckets).await?),
        }
    }
}

/// Runs work on a blocking thread.
async fn blocking<T: Send + 'static>(
    index: &Arc<EmbeddedIndex>,
    work: impl FnOnce(&EmbeddedIndex) -> Result<T, EmbeddedError> + Send + 'static,
) -> Result<T, IndexError> {
    let index = Arc::clone(index);
    Ok(tokio::task::spawn_blocking(move || work(&index)).await??)
}
