//! Classifies Twitter's refusals.

use std::time::Duration;

use serde::Deserialize;

use crate::rate::RateInfo;
use crate::source::{Asked, GoneReason, SourceError};

/// Error codes in bodies, from <https://developer.x.com/en/support/x-api/error-troubleshooting>.
mod code {
    /// No user matches the terms of a look-up.
    pub const NO_MATCH: i64 = 17;
    pub const USER_SUSPENDED: i64 = 63;
    pub const RATE_LIMITED: i64 = 88;
    /// Not authenticated, own account suspended, invalid token, access level, unknown application.
    pub const CREDENTIALS: [i64; 9] = [32, 64, 87, 89, 99, 215, 220, 326, 453];
}

/// Longest quoted part of a server's message.
const LONGEST_QUOTE: usize = 200;

/// Classifies an error answer. `about_user`: it concerns one account, which can be gone.
pub(super) fn refusal(
    asked: &Asked,
    status: u16,
    body: &[u8],
    rate: &mut RateInfo,
    about_user: bool,
) -> SourceError {
    let asked = asked.clone();
    let codes = codes(body);
    let has = |code: i64| codes.contains(&code);
    if matches!(status, 420 | 429) || has(code::RATE_LIMITED) {
        // API v1 reported it with status 400.
        rate.limited = true;
        return SourceError::Limited { asked, status, retry_in: wait(rate) };
    }
    if status >= 500 || status == 408 {
        return SourceError::Passing {
            asked,
            what: format!("status {status}"),
            retry_after: rate.retry_after,
        };
    }
    let refused = |remedy| SourceError::Refused {
        asked: asked.clone(),
        status: Some(status),
        what: quote(body),
        remedy,
    };
    if code::CREDENTIALS.iter().any(|&code| has(code)) {
        return refused("check the token and what it may do");
    }
    let reason = match status {
        401 => GoneReason::Protected,
        403 => GoneReason::Suspended,
        404 => GoneReason::NotFound,
        300..=399 => return refused("redirects are not followed: check --api-url"),
        _ => return refused("check --api-url and the version of the API behind it"),
    };
    if !about_user {
        return refused("check --api-url and the token");
    }
    let reason = if has(code::USER_SUSPENDED) { GoneReason::Suspended } else { reason };
    SourceError::Gone { asked, status, reason }
}

/// Whether a look-up's 404 only means that none of the accounts exists.
pub(super) fn lacks_matches(body: &[u8]) -> bool {
    codes(body).contains(&code::NO_MATCH)
}

fn wait(rate: &RateInfo) -> Option<Duration> {
    rate.retry_after.max(rate.reset_in)
}

/// The codes of a body such as `{"errors":[{"code":34,"message":"..."}]}`; none for any other body.
fn codes(body: &[u8]) -> Vec<i64> {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: Option<i64>,
    }
    serde_json::from_slice::<Body>(body).map_or_else(
        |_no_codes| Vec::new(),
        |body| body.errors.into_iter().filter_map(|entry| entry.code).collect(),
    )
}

/// The beginning of a server's message, on one line.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * LONGEST_QUOTE)]);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "no explanation".to_owned();
    }
    line.chars().filter(|c| !c.is_control()).take(LONGEST_QUOTE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str, about_user: bool) -> (SourceError, RateInfo) {
        let asked = Asked { url: "http://host/1/x.json".into(), user: None };
        let mut rate = RateInfo::unanswered();
        let error = refusal(&asked, status, body.as_bytes(), &mut rate, about_user);
        (error, rate)
    }

    #[test]
    fn accounts_out_of_reach_are_gone_for_a_reason() {
        let gone = |status, body: &str| match sorted(status, body, true).0 {
            SourceError::Gone { reason, .. } => reason,
            other => panic!("{status} {body}: {other}"),
        };
        assert_eq!(gone(401, ""), GoneReason::Protected);
        assert_eq!(gone(401, r#"{"request":"/1/x","error":"Not authorized."}"#), GoneReason::Protected);
        assert_eq!(gone(404, r#"{"errors":[{"code":34,"message":"no such page"}]}"#), GoneReason::NotFound);
        assert_eq!(gone(403, ""), GoneReason::Suspended);
        assert_eq!(gone(404, r#"{"errors":[{"code":63}]}"#), GoneReason::Suspended);
    }

    #[test]
    fn a_bad_token_is_not_a_protected_account() {
        let (error, _) =
            sorted(401, r#"{"errors":[{"code":89,"message":"Invalid or expired token"}]}"#, true);
        assert!(matches!(&error, SourceError::Refused { status: Some(401), .. }), "{error}");
        assert!(error.to_string().contains("token") && !error.is_retryable());
        assert!(matches!(sorted(401, "", false).0, SourceError::Refused { .. }));
    }

    #[test]
    fn limits_are_known_by_status_or_code() {
        for (status, body) in [(429, ""), (420, "calm"), (400, r#"{"errors":[{"code":88}]}"#)] {
            let (error, rate) = sorted(status, body, true);
            assert!(matches!(error, SourceError::Limited { .. }) && rate.limited, "{status}");
        }
    }

    #[test]
    fn trouble_passes_and_other_refusals_do_not() {
        for status in [500, 502, 503, 504, 408] {
            assert!(sorted(status, "", true).0.is_retryable(), "{status}");
        }
        for status in [301, 400, 410, 422] {
            let (error, _) = sorted(status, "<html>\n\u{7}oops </html>", true);
            assert!(!error.is_retryable() && error.to_string().contains("<html> oops"), "{error}");
        }
    }
}
