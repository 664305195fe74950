//! The files of the pages, embedded in the program.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! pages {
    ($($name:literal: $kind:expr),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("pages/", $name)))),*]
    };
}

/// Name, type and content.
const ASSETS: &[(&str, &str, &str)] = pages! {
    "base.css": CSS,
    "parts.css": CSS,
    "icon.svg": "image/svg+xml",
    "theme.js": SCRIPT,
    "app.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "link.js": SCRIPT,
    "operator.js": SCRIPT,
    "chart.js": SCRIPT,
    "parts.js": SCRIPT,
    "overview.js": SCRIPT,
    "crawl.js": SCRIPT,
    "accounts.js": SCRIPT,
    "jobs.js": SCRIPT,
    "stream.js": SCRIPT,
    "addresses.js": SCRIPT,
    "history.js": SCRIPT,
    "bars.js": SCRIPT,
    "land.js": SCRIPT,
    "map.js": SCRIPT,
    "inspect.js": SCRIPT,
    "log.js": SCRIPT,
};

/// The page that loads all others.
const PAGE: &str = include_str!("pages/index.html");
const OPENAPI: &str = include_str!("openapi.json");

/// Whether the client of a request prefers HTML, as browsers do.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepts
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().map(str::trim) == Some("text/html"))
}

/// The page.
pub(crate) async fn page(headers: HeaderMap) -> Response {
    answer(&headers, HTML, PAGE)
}

pub(super) async fn openapi(headers: HeaderMap) -> Response {
    answer(&headers, "application/json", OPENAPI)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => answer(&headers, kind, content),
        None => (StatusCode::NOT_FOUND, "there is no such file\n").into_response(),
    }
}

/// A file, unless the browser has it already: another release of the program may have another one.
fn answer(headers: &HeaderMap, kind: &'static str, content: &'static str) -> Response {
    let tag = format!("\"{:08x}\"", crc32fast::hash(content.as_bytes()));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let about = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::ETAG, tag),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::VARY, "Accept".to_owned()),
    ];
    match known {
        true => (StatusCode::NOT_MODIFIED, about).into_response(),
        false => (about, content).into_response(),
    }
}
