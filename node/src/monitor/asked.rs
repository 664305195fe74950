//! Queries to the leader, each made once for all who ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::client::ClientError;
use api::model::{Answer, Query};
use storage::env::Clock;
use tokio::time::timeout;

use super::Watched;

/// Longest age of an answer: a hundred browsers must not cost the leader more than one.
const FRESH: Duration = Duration::from_millis(500);
/// Timeout of the leader, allowing for a node of the cluster that does not answer it.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Most cached answers.
const MOST_KEPT: usize = 32;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// No leader is known to this node.
    #[error("this node knows no leader; a majority of the nodes has to run and reach each other")]
    NoLeader,
    /// The leader does not answer.
    #[error(
        "the leader did not answer within {PATIENCE:?}; an election may be under way, or no majority of the nodes runs"
    )]
    Silent,
    /// The call failed.
    #[error(transparent)]
    Failed(#[from] ClientError),
}

/// An answer, and when it arrived.
type Kept = Option<(Duration, Result<Arc<Answer>, AskError>)>;

/// Queries the leader, and caches its answers for a moment.
pub(super) struct Asked {
    watched: Arc<dyn Watched>,
    clock: Arc<dyn Clock>,
    /// By query; the task that makes a query holds its lock, and others wait for the result.
    kept: Mutex<Vec<(Query, Arc<tokio::sync::Mutex<Kept>>)>>,
}

impl Asked {
    pub(super) fn of(watched: Arc<dyn Watched>, clock: Arc<dyn Clock>) -> Self {
        Self { watched, clock, kept: Mutex::default() }
    }

    /// Queries the leader, unless there is a fresh answer.
    pub(super) async fn ask(&self, query: Query) -> Result<Arc<Answer>, AskError> {
        let place = self.place(&query);
        let mut kept = place.lock().await;
        if let Some((at, answer)) = &*kept {
            if self.clock.monotonic().saturating_sub(*at) < FRESH {
                return answer.clone();
            }
        }
        let answer = self.ask_anew(query).await;
        *kept = Some((self.clock.monotonic(), answer.clone()));
        answer
    }

    async fn ask_anew(&self, query: Query) -> Result<Arc<Answer>, AskError> {
        if self.watched.own().leader.is_none() {
            return Err(AskError::NoLeader);
        }
        let answer = timeout(PATIENCE, self.watched.query(query)).await.map_err(|_| AskError::Silent)??;
        Ok(Arc::new(answer))
    }

    fn place(&self, query: &Query) -> Arc<tokio::sync::Mutex<Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, place)) = kept.iter().find(|(asked, _)| asked == query) {
            return place.clone();
        }
        if kept.len() >= MOST_KEPT {
            kept.remove(0);
        }
        let place = Arc::default();
        kept.push((query.clone(), Arc::clone(&place)));
        place
    }

    /// Something was changed: drops all cached answers.
    pub(super) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
