//! The read-only part of the API.

use std::str::FromStr;
use std::sync::PoisonError;

use api::client::ClientError;
use api::model::{self, Answer, CrawlId};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use storage::ids::UserId;

use super::history::{Point, Range};
use super::problem::Problem;
use super::{Monitor, documents};

/// Default and largest number of accounts in one page of a list.
const PAGE: (u32, u32) = (100, 1_000);
/// Most jobs listed.
pub(super) const MOST_JOBS: usize = 500;
/// Most log lines in one answer.
pub(super) const MOST_LINES: usize = 500;

type Answered = Result<Json<Value>, Problem>;

/// A page of a list of accounts.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(PAGE.0).clamp(1, PAGE.1)
    }

    fn after(&self) -> Result<Option<UserId>, Problem> {
        self.after.as_deref().filter(|after| !after.is_empty()).map(user).transpose()
    }
}

/// Parses an account's id.
pub(super) fn user(text: &str) -> Result<UserId, Problem> {
    text.parse().map_err(|error| Problem::new(StatusCode::BAD_REQUEST, format!("{error}")))
}

/// Parses a crawl's id.
pub(super) fn crawl_id(text: &str) -> Result<CrawlId, Problem> {
    CrawlId::from_str(text).map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))
}

pub(super) async fn cluster(State(monitor): State<Monitor>) -> Json<Value> {
    let view = monitor.look().await;
    Json(monitor.whole_cluster(&view))
}

pub(super) async fn crawls(State(monitor): State<Monitor>) -> Json<Value> {
    let view = monitor.look().await;
    Json(json!({ "crawls": monitor.crawl_documents(&view) }))
}

pub(super) async fn crawl(State(monitor): State<Monitor>, Path(id): Path<String>) -> Answered {
    let id = crawl_id(&id)?;
    let view = monitor.look().await;
    match view.crawls.iter().find(|crawl| crawl.id == id) {
        Some(crawl) => Ok(Json(monitor.crawl_document(crawl, view.status.as_ref().ok()))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, model::Refusal::NoSuchCrawl(id).to_string())),
    }
}

pub(super) async fn errors(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Answered {
    let (crawl, after, limit) = (crawl_id(&id)?, page.after()?, page.limit());
    let answer = monitor.inner.asked.ask(model::Query::Errors { crawl, after, limit }).await?;
    let Answer::Errors(errors) = &*answer else {
        return Err(ClientError::UnexpectedResponse { asked: "errors query" }.into());
    };
    let next = errors.last().filter(|_| errors.len() == limit as usize).map(|last| last.user.to_string());
    let errors: Vec<_> = errors.iter().map(api::documents::failed).collect();
    Ok(Json(json!({ "errors": errors, "next": next })))
}

pub(super) async fn gone(
    State(monitor): State<Monitor>,
    Path(id): Path<String>,
    Query(page): Query<Page>,
) -> Answered {
    let (crawl, after, limit) = (crawl_id(&id)?, page.after()?, page.limit());
    let answer = monitor.inner.asked.ask(model::Query::Gone { crawl, after, limit }).await?;
    let Answer::Gone(gone) = &*answer else {
        return Err(ClientError::UnexpectedResponse { asked: "query for gone accounts" }.into());
    };
    let next = gone.last().filter(|_| gone.len() == limit as usize).map(|last| last.user.to_string());
    let gone: Vec<_> = gone.iter().map(api::documents::gone).collect();
    Ok(Json(json!({ "gone": gone, "next": next })))
}

pub(super) async fn jobs(State(monitor): State<Monitor>) -> Json<Value> {
    Json(monitor.jobs_document())
}

/// The line or event after which to start.
#[derive(Debug, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
}

pub(super) async fn stream(State(monitor): State<Monitor>, Query(from): Query<After>) -> Json<Value> {
    Json(monitor.stream_document(from.after))
}

pub(super) async fn log(State(monitor): State<Monitor>, Query(from): Query<After>) -> Json<Value> {
    Json(monitor.log_document(from.after))
}

/// The range of the history.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    range: Option<String>,
}

pub(super) async fn history(State(monitor): State<Monitor>, Query(part): Query<Part>) -> Answered {
    let named = part.range.as_deref().unwrap_or(Range::Hour.name());
    let ranges = monitor.ranges();
    if let Some(range) = ranges.iter().find(|range| range.name() == named) {
        return Ok(Json(monitor.history_document(*range).await));
    }
    let what = match Range::ALL.iter().any(|range| range.name() == named) {
        true => format!(
            "a node does not remember the last {named}; Graphite does: start the node with --graphite-url"
        ),
        false => {
            let names: Vec<_> = ranges.iter().map(|range| range.name()).collect();
            format!("{named:?} is no range; there are {}", names.join(", "))
        }
    };
    Err(Problem::new(StatusCode::BAD_REQUEST, what))
}

impl Monitor {
    /// The ranges for which there can be a history.
    fn ranges(&self) -> &'static [Range] {
        if self.inner.graphite.is_some() { &Range::ALL } else { &Range::OWN }
    }

    /// The history from Graphite, or else this node's own.
    async fn history_document(&self, range: Range) -> Value {
        let asked = match &self.inner.graphite {
            Some(graphite) if range != Range::Hour => Some(graphite.series(range).await),
            _ => None,
        };
        let ranges: Vec<_> = self.ranges().iter().map(|range| range.name()).collect();
        let mut document = match &asked {
            Some(Ok(series)) => json!({
                "source": "graphite",
                "step_s": series.step_s,
                "fields": series.fields,
                "points": series.points,
            }),
            _ => {
                let history = self.inner.history.lock().unwrap_or_else(PoisonError::into_inner);
                let points: Vec<_> = history.points(range).map(Point::values).collect();
                json!({
                    "source": "node",
                    "step_s": range.step().as_secs(),
                    "fields": Point::FIELDS,
                    "points": points,
                })
            }
        };
        document["ranges"] = json!(ranges);
        document["trouble"] = json!(asked.and_then(Result::err).map(|error| error.to_string()));
        document
    }

    /// The jobs that run on this node.
    pub(super) fn jobs_document(&self) -> Value {
        let (jobs, running) = self.inner.watched.jobs(MOST_JOBS);
        let own = self.inner.watched.own();
        json!({
            "node": own.id,
            "workers": own.workers.map(|workers| workers.total),
            "running": running,
            "jobs": jobs.iter().map(documents::job).collect::<Vec<_>>(),
        })
    }

    /// The log lines after the given one.
    pub(super) fn log_document(&self, after: u64) -> Value {
        let lines = self.inner.watched.log(after, MOST_LINES);
        json!({
            "node": self.inner.watched.own().id,
            "lines": lines.iter().map(documents::log_line).collect::<Vec<_>>(),
        })
    }
}
