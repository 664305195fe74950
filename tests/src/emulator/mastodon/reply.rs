//! Answers and their headers.

use bytes::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::limits::Allowance;
use crate::emulator::body::Body;

/// Headers of every answer of Mastodon that concern no client of ours.
const USUAL: [(&str, &str); 8] = [
    ("cache-control", "private, no-store"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; form-action 'none'"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("vary", "Authorization, Origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "SAMEORIGIN"),
    ("x-permitted-cross-domain-policies", "none"),
    ("x-xss-protection", "0"),
];

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub body: Bytes,
    pub link: Option<String>,
    pub content_type: &'static str,
}

impl Reply {
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            body: body.into(),
            link: None,
            content_type: "application/json; charset=utf-8",
        }
    }

    /// An error in the words of the API.
    pub fn error(status: StatusCode, message: &str) -> Self {
        Self { status, ..Self::json(json!({ "error": message }).to_string()) }
    }

    pub fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Record not found")
    }

    /// A web page.
    pub fn web(status: StatusCode) -> Self {
        let body = Bytes::from_static(b"<!DOCTYPE html><html><head><title>x</title></head></html>");
        Self { status, content_type: "text/html; charset=utf-8", ..Self::json(body) }
    }

    pub fn linked(self, link: Option<String>) -> Self {
        Self { link, ..self }
    }

    pub fn finish(self, number: u64, allowance: Option<&Allowance>) -> Response<Body> {
        let mut headers = HeaderMap::new();
        for (name, value) in USUAL {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.insert("content-type", HeaderValue::from_static(self.content_type));
        let mut computed = vec![
            ("x-request-id", format!("00000000-0000-4000-8000-{number:012x}")),
            ("x-runtime", format!("0.{:06}", number % 1_000_000)),
        ];
        if self.status.is_success() {
            computed.push(("etag", format!("W/\"{number:032x}\"")));
        }
        if let Some(allowance) = allowance {
            computed.push(("x-ratelimit-limit", allowance.limit.to_string()));
            computed.push(("x-ratelimit-remaining", allowance.remaining.to_string()));
            computed.push(("x-ratelimit-reset", allowance.reset.clone()));
        }
        computed.extend(self.link.map(|link| ("link", link)));
        for (name, value) in computed {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}
