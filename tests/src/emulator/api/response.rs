//! HTTP responses and their headers.

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use crate::emulator::body::Body;
use crate::emulator::limits::Allowance;

fn typed(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

pub(super) fn json(status: StatusCode, body: Body) -> Response<Body> {
    typed(status, "application/json;charset=utf-8", body)
}

pub(super) fn text(status: StatusCode, body: Body) -> Response<Body> {
    typed(status, "text/plain;charset=utf-8", body)
}

/// An error from a front end before the API: HTML without limit headers.
pub(super) fn front_end_error(status: u16) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!("<html><head><title>{status}</title></head><body>Something is wrong.</body></html>");
    typed(status, "text/html;charset=utf-8", Bytes::from(body).into())
}

/// Adds the limit headers in the spelling of API v1 or of v1.1.
pub(super) fn set_limits(response: &mut Response<Body>, old_spelling: bool, allowance: &Allowance) {
    let names = if old_spelling {
        ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
    } else {
        ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"]
    };
    let values = [allowance.limit.into(), allowance.remaining.into(), allowance.reset_unix];
    for (name, value) in names.into_iter().zip(values) {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// Adds invalid limit headers.
pub(super) fn set_limit_nonsense(response: &mut Response<Body>) {
    let nonsense = [
        ("x-rate-limit-limit", "18446744073709551616"),
        ("x-rate-limit-remaining", "plenty"),
        ("x-rate-limit-reset", "soon"),
        ("x-ratelimit-remaining", "-1e9"),
        ("x-ratelimit-reset", "-5"),
        ("retry-after", "when the moon is blue"),
        ("date", "yesterday"),
    ];
    for (name, value) in nonsense {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

pub(super) fn set_retry_after(response: &mut Response<Body>, seconds: u64) {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
}

pub(super) fn set_gzip(response: &mut Response<Body>) {
    response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
}
