//! Where everything is.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Redirect;
use axum::routing::{MethodRouter, get, post};

use super::problem::Problem;
use super::{Monitor, access, actions, assets, events, indexer, reading};

/// The API, as `openapi.json` describes it.
pub(super) fn api() -> Vec<(&'static str, MethodRouter<Monitor>)> {
    vec![
        ("/api/openapi.json", get(assets::openapi)),
        ("/api/v1/cluster", get(reading::cluster)),
        ("/api/v1/crawls", get(reading::crawls)),
        ("/api/v1/crawls/{id}", get(reading::crawl)),
        ("/api/v1/crawls/{id}/errors", get(reading::errors)),
        ("/api/v1/crawls/{id}/gone", get(reading::gone)),
        ("/api/v1/crawls/{id}/pause", post(actions::pause)),
        ("/api/v1/crawls/{id}/resume", post(actions::resume)),
        ("/api/v1/crawls/{id}/cancel", post(actions::cancel)),
        ("/api/v1/crawls/{id}/errors/retry", post(actions::retry)),
        ("/api/v1/jobs", get(reading::jobs)),
        ("/api/v1/stream", get(reading::stream)),
        ("/api/v1/log", get(reading::log)),
        ("/api/v1/history", get(reading::history)),
        ("/api/v1/inspect", get(indexer::inspect)),
        ("/api/v1/events", get(events::events)),
    ]
}

impl Monitor {
    /// The API and the files of the pages. `/` belongs to the port, which uses `wants_html`.
    pub fn routes(&self) -> Router {
        let api = api().into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method));
        let api = api
            .route("/api/{*rest}", get(nothing).post(nothing))
            .layer(from_fn_with_state(Arc::clone(&self.inner.gate), access::guard));
        Router::new()
            .merge(api)
            .route("/assets/{name}", get(assets::asset))
            // All pages are parts of one; this one had an address of its own in the original.
            .route("/inspect", get(async || Redirect::to("/#/inspect")))
            .layer(from_fn(access::harden))
            .with_state(self.clone())
    }
}

async fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "the API has nothing there; /api/openapi.json says what it has")
}
