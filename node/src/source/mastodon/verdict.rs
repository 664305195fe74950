//! Classifies refusals.

use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde::Deserialize;

use crate::rate::RateInfo;
use crate::source::{Asked, GoneReason, SourceError};

/// Longest quoted part of a server's message, characters.
const LONGEST_QUOTE: usize = 200;

const WANT_TOKEN: &str = "give a token for it, or leave its accounts out; a host in limited federation mode answers nobody without one";
const BAD_TOKEN: &str = "make a new token for it";
const NO_API: &str = "leave its accounts out, or give the base URL of its API if that is at another host";
const FORBIDDEN: &str = "leave its accounts out, or ask its administrators";

/// An answer that is no success.
pub(super) struct Refused<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// Its body, empty if it could not be read: it only refines the status.
    pub body: &'a [u8],
    /// Whether the request had a token.
    pub signed: bool,
}

/// Classifies an answer that is no success.
///
/// Mastodon's errors are `{"error":"TEXT"}`. A 404 or 410 without one does not come from the API, so that it says
/// nothing about the account.
pub(super) fn refusal(asked: &Asked, answer: &Refused<'_>, rate: &mut RateInfo) -> SourceError {
    let asked = asked.clone();
    let status = answer.status;
    let message = message(answer.body);
    let refused = |what: String, remedy| SourceError::Refused {
        asked: asked.clone(),
        status: Some(status),
        what,
        remedy,
    };
    let told = |what: &str| match &message {
        Some(message) => format!("{what}: {message}"),
        None => what.to_owned(),
    };
    match (status, &message) {
        (429, _) => {
            rate.limited = true;
            SourceError::Limited { asked, status, retry_in: rate.retry_after.max(rate.reset_in) }
        }
        (408 | 500..=599, _) => SourceError::Passing {
            asked,
            what: told(&format!("status {status}")),
            retry_after: rate.retry_after,
        },
        (401, _) if answer.signed => refused(told("the host does not accept the token"), BAD_TOKEN),
        (401, _) => refused(told("the host answers only with a token"), WANT_TOKEN),
        (403, Some(_)) => refused(told("the host forbids it"), FORBIDDEN),
        (403, None) => refused(format!("the host forbids it with {}", kind(answer)), FORBIDDEN),
        (404, Some(_)) => SourceError::Gone { asked, status, reason: GoneReason::NotFound },
        (410, Some(_)) => SourceError::Gone { asked, status, reason: GoneReason::Suspended },
        (404 | 405 | 406 | 410, _) => refused(
            format!("the host has no API of Mastodon there, it answers with {}", kind(answer)),
            NO_API,
        ),
        (300..=399, _) => {
            let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
            let location = storage::text::excerpt(location.unwrap_or("nowhere"), LONGEST_QUOTE);
            refused(format!("the host redirects to {location}, which is not followed"), NO_API)
        }
        _ => refused(told("the host refuses the request"), NO_API),
    }
}

/// Whether an error says that there is no API of Mastodon where it was asked for.
pub(super) fn is_no_api(error: &SourceError) -> bool {
    matches!(error, SourceError::Refused { status: Some(_), remedy, .. } if *remedy == NO_API)
}

/// Whether a successful answer is a web page: whatever is there, it is not the API.
pub(super) fn is_web_page(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|kind| kind.starts_with("text/html"))
}

/// The error of a web page in place of an account.
pub(super) fn no_api(asked: &Asked, status: u16) -> SourceError {
    let what = "the host has no API of Mastodon there, it answers with a web page".to_owned();
    SourceError::Refused { asked: asked.clone(), status: Some(status), what, remedy: NO_API }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok().map(str::trim)
}

fn kind(answer: &Refused<'_>) -> String {
    match content_type(answer.headers) {
        _ if is_web_page(answer.headers) => "a web page".to_owned(),
        Some(kind) => storage::text::excerpt(kind, 50),
        None => "nothing".to_owned(),
    }
}

/// The text of `{"error":"TEXT"}` on one line; `None` for anything else, also for errors that are objects (Misskey).
fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let Body { error } = serde_json::from_slice(body).ok()?;
    let line: String = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    Some(storage::text::excerpt(&line, LONGEST_QUOTE))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sorted(status: u16, body: &str, signed: bool) -> SourceError {
        let asked = Asked { url: "https://h1.test/api/v1/accounts/lookup".into(), user: None };
        let mut headers = HeaderMap::new();
        if body.starts_with('<') {
            headers.insert(CONTENT_TYPE, "text/html; charset=utf-8".parse().unwrap());
        }
        let mut rate = RateInfo { reset_in: Some(Duration::from_secs(7)), ..RateInfo::unanswered() };
        let answer = Refused { status, headers: &headers, body: body.as_bytes(), signed };
        let error = refusal(&asked, &answer, &mut rate);
        assert_eq!(rate.limited, status == 429);
        error
    }

    #[test]
    fn accounts_are_gone_only_if_the_api_says_so() {
        let gone = |status, body| match sorted(status, body, false) {
            SourceError::Gone { reason, .. } => Some(reason),
            _ => None,
        };
        assert_eq!(gone(404, r#"{"error":"Record not found"}"#), Some(GoneReason::NotFound));
        assert_eq!(gone(410, r#"{"error":"Gone"}"#), Some(GoneReason::Suspended));
        for body in ["", "<html>", r#"{"error":{"code":"UNKNOWN_API_ENDPOINT"}}"#] {
            assert_eq!((gone(404, body), gone(410, body)), (None, None), "{body}");
            let error = sorted(404, body, false);
            assert!(error.to_string().contains("no API of Mastodon") && !error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn a_host_that_wants_a_token_says_so_and_one_that_refuses_it_too() {
        let wants = sorted(401, r#"{"error":"This API requires an authenticated user"}"#, false).to_string();
        assert!(
            wants.contains("answers only with a token: This API requires") && wants.contains("h1.test"),
            "{wants}"
        );
        let bad = sorted(401, r#"{"error":"The access token is invalid"}"#, true).to_string();
        assert!(bad.contains("does not accept the token: The access token is invalid"), "{bad}");
    }

    #[test]
    fn a_limit_without_retry_after_waits_for_the_reset() {
        let limited = sorted(429, r#"{"error":"Too many requests"}"#, false);
        assert!(matches!(limited, SourceError::Limited { .. }));
        assert_eq!(limited.retry_in(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn trouble_passes_and_refusals_do_not() {
        for status in [408, 500, 502, 503, 504, 520, 599] {
            assert!(sorted(status, "<html>", false).is_retryable(), "{status}");
        }
        for status in [301, 308, 400, 403, 405, 406, 418, 422, 451] {
            let error = sorted(status, "<html>", false);
            assert!(matches!(error, SourceError::Refused { .. }), "{status}: {error}");
        }
    }

    #[test]
    fn a_message_is_one_short_line() {
        let body = format!("{{\"error\":\"a\\nb\\u0007 {}\"}}", "x".repeat(1000));
        let error = sorted(422, &body, false).to_string();
        assert!(error.contains("a b xxx") && error.len() < 600 && !error.contains('\n'), "{error}");
    }
}
