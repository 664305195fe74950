//! The indexer's HTTP interface.
//!
//! - `GET /status`: what is indexed, the position in the stream, and current problems.
//! - `GET /inspect?from=&to=&query=`: statistics of the tweets from a time range, or with some words.
//!
//! Every error is `{"error": "..."}`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use storage::dataset::SourceName;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::feed::FeedState;
use super::index::{Index, IndexError};
use super::inspection::{self, Buckets};
use super::question::{Asked, Question};

/// Most concurrent inspections. Further ones wait.
const AT_ONCE: usize = 2;
/// Timeout of an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Timeout of a count.
const COUNT: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Pages {
    index: Index,
    source: SourceName,
    state: Arc<FeedState>,
    turns: Arc<Semaphore>,
}

/// The pages.
pub(super) fn pages(index: Index, source: SourceName, state: Arc<FeedState>) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/inspect", get(inspect))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such page; see /inspect and /status"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes GET")
        })
        .with_state(Pages { index, source, state, turns: Arc::new(Semaphore::new(AT_ONCE)) })
}

/// A request that is refused.
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, why: why.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.why }))).into_response()
    }
}

impl From<IndexError> for Refusal {
    fn from(error: IndexError) -> Self {
        tracing::warn!("an inspection failed: {error}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

async fn status(State(pages): State<Pages>) -> Json<Value> {
    let counted = timeout(COUNT, pages.index.count()).await;
    let (tweets, trouble) = match counted {
        Ok(Ok(tweets)) => (Some(tweets), None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(_) => (None, Some(format!("the index does not answer within {COUNT:?}"))),
    };
    let told = pages.state.progress();
    let stream = told.map(|told| {
        let position = told.progress.position;
        json!({
            "last_id": position.last().to_string(),
            "entries": position.number,
            "behind": told.behind,
            "lost": position.lost,
        })
    });
    Json(json!({
        "index": pages.index.name(),
        "source": pages.source,
        "tweets": tweets,
        "dead": told.map(|told| told.progress.dead),
        "stream": stream,
        "trouble": pages.index.trouble().or(trouble),
    }))
}

async fn inspect(
    State(pages): State<Pages>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
    let Query(asked) = asked.map_err(|rejection| bad(rejection.body_text()))?;
    let question = Question::of(&asked).map_err(|error| bad(error.to_string()))?;
    let answer = timeout(ANSWER, async {
        let turn = Arc::clone(&pages.turns).acquire_owned().await;
        // In a task of its own: a search that takes too long keeps its slot until it ends.
        let looked = tokio::spawn(async move {
            let _turn = turn;
            look(&pages.index, &question).await
        });
        looked.await?
    });
    match answer.await {
        Ok(answer) => Ok(Json(answer?)),
        Err(_) => {
            let why = format!("no answer within {ANSWER:?}; ask for less, by a date or a word");
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why))
        }
    }
}

async fn look(index: &Index, question: &Question) -> Result<Value, IndexError> {
    let range = match (question.from, question.to) {
        (Some(from), Some(to)) => Some((from, to)),
        (from, to) => {
            let extent = index.extent(question).await?;
            extent.map(|(first, last)| (from.unwrap_or(first), to.unwrap_or(last + 1)))
        }
    };
    let buckets = range.map(|(start, end)| Buckets::over(start, end));
    let found = index.find(question, buckets).await?;
    Ok(inspection::document(question, buckets, &found))
}
