//! Classifies refusals of XRPC servers (<https://atproto.com/specs/xrpc>) and of the PLC directory.

use serde::Deserialize;

use crate::rate::RateInfo;
use crate::source::{Asked, GoneReason, SourceError};

/// Longest quoted part of a server's message.
const LONGEST_QUOTE: usize = 200;

/// An error answer: its status, and what its body says.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// The error's name, such as `RepoNotFound`; empty if there is none.
    pub(super) name: String,
    /// What a person reads, shortened.
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Option<String>,
            message: Option<String>,
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error, message }) => {
                let name = error.unwrap_or_default();
                let message = quote(&message.unwrap_or_else(|| name.clone()));
                Self { status, name: quote(&name), message }
            }
            Err(_) => Self { status, name: String::new(), message: quote(&String::from_utf8_lossy(body)) },
        }
    }

    /// Why the account is gone, if that is what it says by itself.
    pub(super) fn gone(&self) -> Option<GoneReason> {
        Some(match self.name.as_str() {
            "AccountTakedown" | "RepoTakendown" => GoneReason::TakenDown,
            "AccountDeactivated" | "RepoDeactivated" => GoneReason::Deactivated,
            "RepoSuspended" => GoneReason::Suspended,
            "BlockedActor" | "BlockedByActor" => GoneReason::Blocked,
            _ => return None,
        })
    }

    /// Whether the server does not have the account, by which it can mean several things.
    pub(super) fn is_unknown_account(&self) -> bool {
        let said = ["not found", "could not find"];
        let message = self.message.to_ascii_lowercase();
        self.name == "RepoNotFound"
            || self.status == 400
                && self.name == "InvalidRequest"
                && said.iter().any(|text| message.contains(text))
    }

    /// Whether the server does not have the method at all.
    pub(super) fn is_unknown_method(&self) -> bool {
        matches!(self.status, 404 | 405 | 501)
            || matches!(self.name.as_str(), "MethodNotImplemented" | "XRPCNotSupported")
    }

    /// The error that it is, unless it concerns the account.
    pub(super) fn error(&self, asked: &Asked, rate: &mut RateInfo) -> SourceError {
        let (asked, status) = (asked.clone(), self.status);
        if status == 429 || self.name == "RateLimitExceeded" {
            rate.limited = true;
            return SourceError::Limited { asked, status, retry_in: rate.retry_after.max(rate.reset_in) };
        }
        if status >= 500 || status == 408 {
            let what = format!("status {status}: {}", self.message);
            return SourceError::Passing { asked, what, retry_after: rate.retry_after };
        }
        let remedy = match status {
            300..=399 => "redirects are not followed: check the address of the source",
            401 | 403 => "the server wants a login for this, which this source does not have",
            _ => "check the address of the source and what runs there",
        };
        SourceError::Refused { asked, status: Some(status), what: self.message.clone(), remedy }
    }
}

fn quote(text: &str) -> String {
    let line = text.chars().take(4 * LONGEST_QUOTE).collect::<String>();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.is_empty() {
        true => "no explanation".to_owned(),
        false => line.chars().filter(|c| !c.is_control()).take(LONGEST_QUOTE).collect(),
    }
}

/// Why an account is gone by the status of its repository (`com.atproto.sync.getRepoStatus`); `None` if it is not.
pub(super) fn gone_by_status(body: &[u8]) -> Option<GoneReason> {
    #[derive(Deserialize)]
    struct Body {
        active: bool,
        status: Option<String>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    if body.active {
        return None;
    }
    Some(match body.status.as_deref() {
        Some("takendown") => GoneReason::TakenDown,
        Some("suspended") => GoneReason::Suspended,
        Some("deleted") => GoneReason::Deleted,
        _ => GoneReason::Deactivated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, body: &str) -> Refusal {
        Refusal::read(status, body.as_bytes())
    }

    #[test]
    fn accounts_are_gone_for_their_true_reasons() {
        for (body, reason) in [
            (r#"{"error":"AccountTakedown","message":"Account has been suspended"}"#, GoneReason::TakenDown),
            (r#"{"error":"AccountDeactivated","message":"Account is deactivated"}"#, GoneReason::Deactivated),
            (r#"{"error":"RepoTakendown"}"#, GoneReason::TakenDown),
            (r#"{"error":"RepoDeactivated"}"#, GoneReason::Deactivated),
            (r#"{"error":"RepoSuspended"}"#, GoneReason::Suspended),
            (r#"{"error":"BlockedByActor","message":"Requester is blocked by actor"}"#, GoneReason::Blocked),
            (r#"{"error":"BlockedActor"}"#, GoneReason::Blocked),
        ] {
            assert_eq!(refusal(400, body).gone(), Some(reason), "{body}");
        }
        for body in [
            r#"{"error":"InvalidRequest","message":"Profile not found"}"#,
            r#"{"error":"InvalidRequest","message":"Actor not found"}"#,
            r#"{"error":"InvalidRequest","message":"Could not find repo: did:plc:x"}"#,
            r#"{"error":"RepoNotFound","message":"Could not find repo for DID: did:plc:x"}"#,
        ] {
            let refusal = refusal(400, body);
            assert!(refusal.gone().is_none() && refusal.is_unknown_account(), "{body}");
        }
        let limit =
            refusal(400, r#"{"error":"InvalidRequest","message":"Error: limit must be at most 100"}"#);
        assert!(!limit.is_unknown_account());
    }

    #[test]
    fn the_status_of_a_repository_tells_why() {
        for (body, reason) in [
            (r#"{"did":"x","active":true,"rev":"3k"}"#, None),
            (r#"{"active":false,"status":"takendown"}"#, Some(GoneReason::TakenDown)),
            (r#"{"active":false,"status":"deactivated"}"#, Some(GoneReason::Deactivated)),
            (r#"{"active":false,"status":"suspended"}"#, Some(GoneReason::Suspended)),
            (r#"{"active":false,"status":"deleted"}"#, Some(GoneReason::Deleted)),
            ("<html>", None),
        ] {
            assert_eq!(gone_by_status(body.as_bytes()), reason, "{body}");
        }
    }

    #[test]
    fn limits_trouble_and_refusals_are_told_apart() {
        let asked = Asked { url: "https://a.b/xrpc/x".into(), user: None };
        let error = |status, body: &str| {
            let mut rate = RateInfo::unanswered();
            let error = refusal(status, body).error(&asked, &mut rate);
            (error, rate.limited)
        };
        let (limited, counted) =
            error(429, r#"{"error":"RateLimitExceeded","message":"Rate Limit Exceeded"}"#);
        assert!(matches!(limited, SourceError::Limited { .. }) && counted);
        for status in [500, 502, 503, 504, 408] {
            assert!(error(status, r#"{"error":"InternalServerError"}"#).0.is_retryable(), "{status}");
        }
        for (status, said) in [(401, "login"), (301, "redirects"), (400, "<html> oops")] {
            let (error, _) = error(status, "<html>\n oops\u{7}");
            assert!(!error.is_retryable() && error.to_string().contains(said), "{error}");
        }
        assert!(refusal(501, r#"{"error":"MethodNotImplemented"}"#).is_unknown_method());
        assert!(!refusal(400, r#"{"error":"InvalidRequest"}"#).is_unknown_method());
    }
}
