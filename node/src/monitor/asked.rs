//! Questions to the leader, each asked once for all who want to know.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::client::ClientError;
use api::model::{Answer, Query};
use storage::env::Clock;
use tokio::time::timeout;

use super::Watched;

/// How old an answer may be: a hundred browsers must not cost the leader more than one.
const FRESH: Duration = Duration::from_millis(500);
/// How long the leader may take, with a node in the cluster that does not answer it.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// Questions whose answers are kept.
const MOST_KEPT: usize = 32;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// Nobody leads, as far as this node knows.
    #[error("this node knows no leader; a majority of the nodes has to run and reach each other")]
    NoLeader,
    /// The leader is silent.
    #[error(
        "the leader did not answer within {PATIENCE:?}; an election may be under way, or no majority of the nodes runs"
    )]
    Silent,
    /// The leader, or the way to it, says no.
    #[error(transparent)]
    Failed(#[from] ClientError),
}

/// An answer, and when it came.
type Kept = Option<(Duration, Result<Arc<Answer>, AskError>)>;

/// Asks the leader, and keeps its answers for a moment.
pub(super) struct Asked {
    watched: Arc<dyn Watched>,
    clock: Arc<dyn Clock>,
    /// Requester question; who asks it holds its lock, and others wait for what he gets.
    kept: Mutex<Vec<(Query, Arc<tokio::sync::Mutex<Kept>>)>>,
}

impl Asked {
    pub(super) fn of(watched: Arc<dyn Watched>, clock: Arc<dyn Clock>) -> Self {
        Self { watched, clock, kept: Mutex::default() }
    }

    /// Asks, unless there is an answer that is fresh.
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

    /// Something was changed: what was answered before does not count any more.
    pub(super) fn forget(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
