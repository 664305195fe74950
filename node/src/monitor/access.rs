//! Who may read the monitor and act through it, by the rules of its [`Gate`]; and the security headers for browsers.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use storage::net::http_port::{Access, Denied, Gate, HttpCaller};

use super::problem::Problem;

/// Nothing from other origins, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// Whether a call may change something.
pub(super) fn check_action(gate: &Gate, caller: &HttpCaller, headers: &HeaderMap) -> Result<(), Problem> {
    gate.check_origin(headers)?;
    Ok(gate.check_caller(caller, headers, Access::Change)?)
}

impl From<Denied> for Problem {
    fn from(Denied { status, why }: Denied) -> Self {
        Self::new(status, why)
    }
}

/// Accepts only calls that name this node and may read. Changes require more.
pub(super) async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let caller = HttpCaller::of(request.extensions());
    let allowed = gate
        .check_host(request.headers())
        .and_then(|()| gate.check_caller(&caller, request.headers(), Access::Read));
    match allowed {
        Ok(()) => next.run(request).await,
        Err(denied) => Problem::from(denied).into_response(),
    }
}

/// Disables browser features that the pages do not use.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
