//! The part of the API that makes changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::client::ClientError;
use api::model::{self, Answer, CrawlId, Refusal, RequestId, Response, Write};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use storage::ids::UserId;
use storage::net::http_port::HttpCaller;
use tokio::time::timeout;

use super::Monitor;
use super::access::check_action;
use super::problem::Problem;
use super::reading::{crawl_id, user};

/// Timeout of a change.
const PATIENCE: Duration = Duration::from_secs(5);
/// Accounts retried by one command.
const STEP: u64 = 1_000;

type ActionResult = Result<Json<Value>, Problem>;

/// Who wants it.
type Requester = (HttpCaller, HeaderMap);

pub(super) async fn pause(state: State<Monitor>, id: Path<String>, by: Requester) -> ActionResult {
    change(state, id, by, "paused", |crawl| Write::PauseCrawl { crawl }).await
}

pub(super) async fn resume(state: State<Monitor>, id: Path<String>, by: Requester) -> ActionResult {
    change(state, id, by, "resumed", |crawl| Write::ResumeCrawl { crawl }).await
}

pub(super) async fn cancel(state: State<Monitor>, id: Path<String>, by: Requester) -> ActionResult {
    change(state, id, by, "cancelled", |crawl| Write::CancelCrawl { crawl }).await
}

async fn change(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    (caller, headers): Requester,
    done: &'static str,
    write: impl FnOnce(CrawlId) -> Write,
) -> ActionResult {
    check_action(&monitor.inner.gate, &caller, &headers)?;
    let crawl = crawl_id(&id)?;
    monitor.write(write(crawl)).await?;
    tracing::info!(%crawl, "an operator of the monitor: {done}");
    Ok(Json(json!({ "crawl": crawl.0, "done": done })))
}

/// Which accounts.
#[derive(Debug, Deserialize)]
pub(super) struct RetryQuery {
    user: Option<String>,
}

pub(super) async fn retry(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    Query(which): Query<RetryQuery>,
    (caller, headers): Requester,
) -> ActionResult {
    check_action(&monitor.inner.gate, &caller, &headers)?;
    let crawl = crawl_id(&id)?;
    let user = which.user.as_deref().map(user).transpose()?;
    let retried = monitor.retry(crawl, user).await?;
    tracing::info!(%crawl, retried, "an operator of the monitor: errors are retried");
    Ok(Json(json!({ "crawl": crawl.0, "retried": retried })))
}

impl Monitor {
    async fn write(&self, write: Write) -> Result<Response, Problem> {
        let changed = timeout(PATIENCE, self.inner.watched.write(write)).await;
        self.inner.asked.forget();
        let silent = || {
            let what =
                format!("the cluster did not answer within {PATIENCE:?}; it may or may not have happened");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, what)
        };
        Ok(changed.map_err(|_| silent())??)
    }

    /// Retries the accounts that are in the error list now.
    async fn retry(&self, crawl: CrawlId, user: Option<UserId>) -> Result<u64, Problem> {
        let goal = match &user {
            Some(_) => 1,
            None => self.failed(crawl).await?,
        };
        let mut retried = 0;
        // Accounts that fail again in the meantime are not retried twice, or this might not end.
        while retried < goal {
            let sequence = self.inner.writes.fetch_add(1, Ordering::Relaxed);
            let request = RequestId { client: self.inner.writer, sequence };
            let limit = STEP.min(goal - retried) as u32;
            let retry = Write::RetryErrors { request, crawl, user: user.clone(), limit };
            match self.write(retry).await? {
                Response::Retried(0) => break,
                Response::Retried(n) => retried += u64::from(n),
                _ => return Err(ClientError::UnexpectedResponse { asked: "retry" }.into()),
            }
        }
        Ok(retried)
    }

    /// How many accounts are in a crawl's error list.
    async fn failed(&self, crawl: CrawlId) -> Result<u64, Problem> {
        match &*self.inner.asked.ask(model::Query::Crawl(crawl)).await? {
            Answer::Crawl(Some(view)) => Ok(view.counters.users.failed),
            Answer::Crawl(None) => {
                Err(Problem::new(StatusCode::NOT_FOUND, Refusal::NoSuchCrawl(crawl).to_string()))
            }
            _ => Err(ClientError::UnexpectedResponse { asked: "crawl query" }.into()),
        }
    }
}
