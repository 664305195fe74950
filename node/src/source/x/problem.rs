//! Reads the API's problems (RFC 7807) and classifies refusals.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use storage::ids::UserId;
use storage::text::excerpt;

use super::LONGEST_COMPLAINT;
use crate::rate::RateInfo;
use crate::source::{Asked, GoneReason, SourceError};

/// How long an app pauses whose account has no credits, or whose cap has no date: an operator or a new cycle changes
/// it, and asking again costs nothing.
const PAUSE: Duration = Duration::from_secs(900);
/// The longest pause at a time, for a spending limit that lasts until the next cycle.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// A problem, in the body of a refusal or in the `errors` of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    /// When the billing cycle ends, on the refusal of an account that reached its spending limit.
    reset_date: Option<String>,
}

impl Problem {
    /// A problem of another form than expected says nothing.
    pub(super) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    pub(super) fn of(raw: &RawValue) -> Self {
        Self::read(raw.get().as_bytes())
    }

    /// The last part of its type: the API has used two hosts.
    fn name(&self) -> &str {
        self.kind.as_deref().and_then(|kind| kind.rsplit('/').next()).unwrap_or_default()
    }

    fn says(&self, word: &str) -> bool {
        let within = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains(word));
        within(&self.title) || within(&self.detail)
    }

    /// Why this account is gone, if the problem is about it and says so. A suspended account is `resource-not-found`
    /// as well; its title and detail tell it from one that never existed.
    pub(super) fn gone(&self, user: &UserId) -> Option<GoneReason> {
        let about_it = self.resource_id.as_deref().is_none_or(|id| id == user.to_string());
        self.absence().filter(|_| about_it)
    }

    /// Why an account is missing, if the problem is about an account and says so.
    pub(super) fn absence(&self) -> Option<GoneReason> {
        if self.resource_type.as_deref().is_some_and(|kind| kind != "user") {
            return None;
        }
        match self.name() {
            "not-authorized-for-resource" => Some(GoneReason::Protected),
            "resource-not-found" if self.says("suspended") || self.title.as_deref() == Some("Forbidden") => {
                Some(GoneReason::Suspended)
            }
            "resource-not-found" => Some(GoneReason::NotFound),
            "resource-unavailable" | "disallowed-resource" => Some(GoneReason::Suspended),
            _ => None,
        }
    }

    /// Its beginning on one line, for messages.
    pub(super) fn text(&self) -> String {
        let parts = [self.title.as_deref(), self.detail.as_deref(), self.kind.as_deref()];
        let line = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if line.is_empty() { "no explanation".to_owned() } else { excerpt(&line, LONGEST_COMPLAINT) }
    }
}

/// A classified refusal.
pub(super) struct Verdict {
    pub(super) error: SourceError,
    /// Whether the app is of no use until an operator acts.
    pub(super) set_aside: bool,
}

/// Classifies an answer that is an error. `user`: the account that it is about, which can be gone.
pub(super) fn refusal(
    asked: &Asked,
    app: &str,
    status: u16,
    body: &[u8],
    rate: &mut RateInfo,
    user: Option<&UserId>,
) -> Verdict {
    let problem = Problem::read(body);
    let passes = |error| Verdict { error, set_aside: false };
    let refused = |remedy, set_aside| {
        let what = format!("app {app}: {}", problem.text());
        let error = SourceError::Refused { asked: asked.clone(), status: Some(status), what, remedy };
        Verdict { error, set_aside }
    };
    let mut limited = |wait: Option<Duration>| {
        rate.limited = true;
        rate.retry_after = rate.retry_after.max(wait);
        let retry_in = rate.retry_after.max(rate.reset_in);
        passes(SourceError::Limited { asked: asked.clone(), status, retry_in })
    };
    let gone = user.and_then(|user| problem.gone(user));
    match (status, problem.name()) {
        (429, "usage-capped") | (402, _) => limited(Some(PAUSE)),
        (429, _) => limited(None),
        (403, _) if problem.name() == "credits" || problem.says("SpendCap") => {
            let wait = problem.until_reset(rate.date);
            limited(Some(wait))
        }
        (408 | 500.., _) => passes(SourceError::Passing {
            asked: asked.clone(),
            what: format!("status {status}"),
            retry_after: rate.retry_after,
        }),
        (401, _) => refused("the token was revoked or is wrong: put a valid one into its file", true),
        (403 | 404, _) if gone.is_some() => {
            let reason = gone.unwrap_or(GoneReason::NotFound);
            passes(SourceError::Gone { asked: asked.clone(), status, reason })
        }
        (403, _) => {
            refused("the app lacks the access that this endpoint needs: see the developer console", true)
        }
        (300..=399, _) => refused("redirects are not followed: check the base URL", false),
        (400, _) => refused("check the fields and expansions in the settings, and the wording", false),
        _ => refused("check the base URL and the version of the API behind it", false),
    }
}

impl Problem {
    /// How long until the day that `reset_date` names, by the server's clock.
    fn until_reset(&self, now: Option<u64>) -> Duration {
        let date = self.reset_date.as_deref().and_then(unix_of_day);
        let (Some(date), Some(now)) = (date, now) else { return PAUSE };
        Duration::from_secs(date.saturating_sub(now)).clamp(PAUSE, LONGEST_PAUSE)
    }
}

/// Unix seconds of the beginning of a day, `2026-12-12` and whatever follows it.
fn unix_of_day(text: &str) -> Option<u64> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let day = time::Date::parse(text.get(..10)?, format).ok()?;
    u64::try_from(day.midnight().assume_utc().unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(status: u16, body: &str, about: Option<u64>) -> (Verdict, RateInfo) {
        let asked = Asked { url: "http://host/2/users/:id/tweets".into(), user: None };
        let mut rate = RateInfo { date: Some(1_795_422_061), ..RateInfo::unanswered() };
        let user = about.map(UserId::Number);
        let verdict = refusal(&asked, "one", status, body.as_bytes(), &mut rate, user.as_ref());
        (verdict, rate)
    }

    #[test]
    fn problems_of_both_hosts_tell_why_an_account_is_gone() {
        for host in ["api.x.com", "api.twitter.com"] {
            let gone = |kind: &str, rest: &str| {
                let body = format!(r#"{{"type":"https://{host}/2/problems/{kind}"{rest}}}"#);
                Problem::read(body.as_bytes()).gone(&UserId::Number(5))
            };
            assert_eq!(gone("not-authorized-for-resource", ""), Some(GoneReason::Protected));
            assert_eq!(gone("resource-not-found", r#","resource_id":"5""#), Some(GoneReason::NotFound));
            let suspended = r#","title":"Forbidden","detail":"User has been suspended: [5].""#;
            assert_eq!(gone("resource-not-found", suspended), Some(GoneReason::Suspended));
            assert_eq!(gone("resource-unavailable", ""), Some(GoneReason::Suspended));
            assert_eq!(gone("resource-not-found", r#","resource_id":"6""#), None, "another account");
            assert_eq!(gone("resource-not-found", r#","resource_type":"tweet""#), None, "a post");
            assert_eq!(gone("field-unauthorized", ""), None);
        }
    }

    #[test]
    fn a_revoked_token_and_a_missing_access_name_the_app_and_set_it_aside() {
        for (status, body) in [
            (401, r#"{"title":"Unauthorized","type":"about:blank","status":401}"#),
            (403, r#"{"title":"Client Forbidden","type":"https://api.x.com/2/problems/client-forbidden"}"#),
        ] {
            let (verdict, _) = sorted(status, body, Some(5));
            assert!(verdict.set_aside && !verdict.error.is_retryable(), "{status}");
            assert!(verdict.error.to_string().contains("app one"), "{}", verdict.error);
        }
    }

    #[test]
    fn caps_and_limits_are_waits_and_not_failures() {
        let capped = r#"{"type":"https://api.x.com/2/problems/credits","title":"SpendCapReached","reset_date":"2026-11-23"}"#;
        let later = capped.replace("2026-11-23", "2026-12-12");
        let usage =
            r#"{"type":"https://api.twitter.com/2/problems/usage-capped","title":"UsageCapExceeded"}"#;
        for (status, body, wait) in [
            (403, capped, Some(PAUSE)),
            (403, later.as_str(), Some(LONGEST_PAUSE)),
            (402, r#"{"title":"CreditsDepleted"}"#, Some(PAUSE)),
            (429, usage, Some(PAUSE)),
            (429, "", None),
        ] {
            let (verdict, rate) = sorted(status, body, Some(5));
            assert!(rate.limited && !verdict.set_aside, "{status} {body}");
            assert_eq!(verdict.error.retry_in(), wait, "{status} {body}");
            assert!(matches!(verdict.error, SourceError::Limited { .. }), "{status} {body}");
        }
        for status in [500, 503, 408] {
            assert!(sorted(status, "<html>", None).0.error.is_retryable(), "{status}");
        }
        for status in [301, 400, 404, 410] {
            let (verdict, _) = sorted(status, "[1]", Some(5));
            assert!(!verdict.error.is_retryable() && !verdict.set_aside, "{status}");
        }
    }
}
