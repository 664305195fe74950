//! The lookup service's HTTP interface.
//!
//! - `GET /lookup/id/ID` and `GET /lookup/name/NAME`: 200 and the profile's unchanged JSON, or 404 and
//!   `null`.
//! - `POST /lookup/batch`: `{"ids": [...], "names": [...]}`; 200 and `{"profiles": [...], "missing": {...}}`.
//! - `POST /lookup/add`: a profile's JSON; 200 once it is durable.
//! - `GET /lookup/status`: the number of profiles, and the position in the stream.
//!
//! Every error is `{"error": "..."}`.

mod batch;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;

use super::profile::{LARGEST_PROFILE, LONGEST_KEY, Profile};
use super::redis_time::RedisTime;
use super::store::{Profiles, StoreError};

/// Largest body of a request, bytes: a profile, or the ids and names of a batch.
const LARGEST_BODY: usize = LARGEST_PROFILE;

/// State shared by the handlers.
#[derive(Clone)]
pub(super) struct Lookup {
    profiles: Arc<Profiles>,
    time: Arc<RedisTime>,
}

/// The pages.
pub(super) fn pages(profiles: Arc<Profiles>, time: Arc<RedisTime>) -> Router {
    Router::new()
        .route("/lookup/id/{id}", get(by_id))
        .route("/lookup/name/{name}", get(by_name))
        .route("/lookup/batch", post(batch::answer))
        .route("/lookup/add", post(add))
        .route("/lookup/status", get(status))
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "no such page; see /lookup/id/ID"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this page takes another method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(Lookup { profiles, time })
}

/// A request that is refused.
pub(super) struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl ToString) -> Self {
        Self { status, why: why.to_string() }
    }

    fn bad(why: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.why }))).into_response()
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }
}

impl Lookup {
    /// Reads or writes on a blocking thread.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Profiles) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let profiles = Arc::clone(&self.profiles);
        let done = tokio::task::spawn_blocking(move || work(&profiles)).await;
        Ok(done.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error))??)
    }
}

type Key = Result<Path<String>, PathRejection>;

async fn by_id(State(lookup): State<Lookup>, id: Key) -> Result<Response, Refusal> {
    let id = bounded(id)?;
    Ok(found(lookup.on_disk(move |profiles| profiles.by_id(&id)).await?))
}

async fn by_name(State(lookup): State<Lookup>, name: Key) -> Result<Response, Refusal> {
    let name = bounded(name)?;
    Ok(found(lookup.on_disk(move |profiles| profiles.by_name(&name)).await?))
}

fn bounded(key: Key) -> Result<String, Refusal> {
    let Path(key) = key.map_err(|rejection| Refusal::new(rejection.status(), rejection.body_text()))?;
    match key.len() {
        0..=LONGEST_KEY => Ok(key),
        _ => Err(Refusal::bad(format!("an id or name has at most {LONGEST_KEY} bytes"))),
    }
}

fn found(profile: Option<Vec<u8>>) -> Response {
    match profile {
        Some(json) => json_bytes(json),
        None => (StatusCode::NOT_FOUND, json_bytes(b"null".to_vec())).into_response(),
    }
}

fn json_bytes(json: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn add(
    State(lookup): State<Lookup>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = json_body(&headers, body)?;
    let profile = Profile::parse(&body).map_err(Refusal::bad)?;
    let (id, stamp) = (profile.id.clone(), lookup.time.now());
    let offered = lookup.on_disk(move |profiles| profiles.offer(&[(profile, stamp)], None)).await?;
    Ok(Json(json!({ "id": id, "added": offered.stored == 1 })).into_response())
}

/// A body with a JSON content type.
fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send Content-Type: application/json"));
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body has at most {LARGEST_BODY} bytes"))
        }
        status => Refusal::new(status, rejection.body_text()),
    })
}

async fn status(State(lookup): State<Lookup>) -> Result<Response, Refusal> {
    let read = |profiles: &Profiles| Ok((profiles.count()?, profiles.position()?));
    let (count, position) = lookup.on_disk(read).await?;
    let stream =
        json!({ "last_id": position.last().to_string(), "entries": position.number, "lost": position.lost });
    Ok(Json(json!({ "profiles": count, "stream": stream })).into_response())
}
