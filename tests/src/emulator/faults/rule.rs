//! Faults and the rules that trigger them.

use std::net::IpAddr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use crate::emulator::Endpoint;

/// A fault of a response. In JSON `"reset"` or `{"status": 503}`; on the command line `reset` or
/// `status=503`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This HTTP status, from 400 on, with an HTML page as overloaded front ends send it.
    Status(u16),
    /// 429 without limit headers.
    Bare429,
    /// 429 with `Retry-After` of this many seconds.
    RetryAfter(u32),
    /// Delays the response by this many milliseconds. Combines with another fault of the same request.
    LatencyMs(u64),
    /// The connection is reset before the response.
    Reset,
    /// The connection is reset in the middle of the body.
    ResetBody,
    /// The connection is closed normally in the middle of the body, before its announced length.
    Cut,
    /// No response is ever sent.
    Hang,
    /// Half of the body is sent, then nothing.
    Stall,
    /// The body is sent at this many bytes per second.
    Slow(u64),
    /// The body starts correctly and then never ends.
    Endless,
    /// The valid body, padded with white space to this many bytes.
    Huge(u64),
    /// A small gzip body that decompresses to this many bytes.
    GzipBomb(u64),
    /// An empty body.
    Empty,
    /// The JSON ends in the middle, in an HTTP body of the announced length.
    Truncated,
    /// Invalid UTF-8 within a string.
    NotUtf8,
    /// Valid JSON whose fields have wrong types.
    WrongTypes,
    /// Valid JSON without the required fields.
    MissingFields,
    /// Every tweet, follower or profile appears twice.
    Duplicates,
    /// Tweets, followers or profiles are out of order.
    Unordered,
    /// Every page of followers links to the first one; every page of a timeline is the first one.
    Looping,
    /// Pages of followers never end: empty pages follow the last one, each with a different cursor.
    Unending,
    /// The cursor of the next page has this many characters.
    LongCursor(u64),
    /// A string of this many characters in place of the array.
    Babble(u64),
    /// An array of this many meaningless numbers.
    Crowded(u64),
    /// A valid body with invalid limit headers.
    LimitNonsense,
}

impl Fault {
    /// The name in counters and specifications.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Bare429 => "bare429",
            Self::RetryAfter(_) => "retry_after",
            Self::LatencyMs(_) => "latency_ms",
            Self::Reset => "reset",
            Self::ResetBody => "reset_body",
            Self::Cut => "cut",
            Self::Hang => "hang",
            Self::Stall => "stall",
            Self::Slow(_) => "slow",
            Self::Endless => "endless",
            Self::Huge(_) => "huge",
            Self::GzipBomb(_) => "gzip_bomb",
            Self::Empty => "empty",
            Self::Truncated => "truncated",
            Self::NotUtf8 => "not_utf8",
            Self::WrongTypes => "wrong_types",
            Self::MissingFields => "missing_fields",
            Self::Duplicates => "duplicates",
            Self::Unordered => "unordered",
            Self::Looping => "looping",
            Self::Unending => "unending",
            Self::LongCursor(_) => "long_cursor",
            Self::Babble(_) => "babble",
            Self::Crowded(_) => "crowded",
            Self::LimitNonsense => "limit_nonsense",
        }
    }
}

/// A fault and the requests that it applies to. The first rule that applies wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only requests to this endpoint; `None` for all endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Only requests about this account; a lookup matches if it contains the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u64>,
    /// Only requests from this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Probability of the fault, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// Number of matching requests to skip before the rule applies.
    #[serde(default)]
    pub after: u64,
    /// Maximum number of times that the fault occurs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// A rule that applies the fault to every request.
    pub fn new(fault: Fault) -> Self {
        Self { fault, endpoint: None, user: None, address: None, probability: 1.0, after: 0, count: None }
    }

    /// Only at `endpoint`.
    #[must_use]
    pub fn at(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = Some(endpoint);
        self
    }

    /// Only for requests about `user`.
    #[must_use]
    pub fn user(mut self, user: u64) -> Self {
        self.user = Some(user);
        self
    }

    /// Only for requests from `address`.
    #[must_use]
    pub fn from(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// With this probability, from 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// At most `count` times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Only after the first `requests` matching requests.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Checks the rule. The error describes the invalid value.
    pub(in crate::emulator) fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(format!("a probability is between 0 and 1, not {}", self.probability));
        }
        match self.fault {
            Fault::Status(status) if !(400..=599).contains(&status) => {
                Err(format!("a faulty status is between 400 and 599, not {status}"))
            }
            Fault::Slow(0) => Err("a slow body needs at least 1 byte a second; use stall for none".into()),
            _ => Ok(()),
        }
    }
}

/// Parses rules such as `status=503,endpoint=timeline,p=0.05;latency_ms=20,count=3`.
pub fn parse_rules(text: &str) -> Result<Vec<FaultRule>, String> {
    text.split(';').map(str::trim).filter(|rule| !rule.is_empty()).map(parse_rule).collect()
}

fn parse_rule(text: &str) -> Result<FaultRule, String> {
    let mut parts = text.split(',').map(str::trim);
    let mut rule = FaultRule::new(parse_fault(parts.next().unwrap_or_default())?);
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no KEY=VALUE"))?;
        let wrong = |error: &dyn std::fmt::Display| format!("{part:?}: {error}");
        match key {
            "endpoint" => rule.endpoint = Some(value.parse()?),
            "user" => rule.user = Some(value.parse().map_err(|e| wrong(&e))?),
            "address" => rule.address = Some(value.parse().map_err(|e| wrong(&e))?),
            "p" => rule.probability = value.parse().map_err(|e| wrong(&e))?,
            "after" => rule.after = value.parse().map_err(|e| wrong(&e))?,
            "count" => rule.count = Some(value.parse().map_err(|e| wrong(&e))?),
            _ => return Err(format!("{key:?} is unknown; use endpoint, user, address, p, after or count")),
        }
    }
    rule.check()?;
    Ok(rule)
}

/// Parses a fault. Its name and value are the same as in JSON.
fn parse_fault(text: &str) -> Result<Fault, String> {
    let wrong = |error: serde_json::Error| format!("{text:?} is no fault: {error}");
    match text.split_once('=') {
        None => Fault::deserialize(text.into_deserializer()).map_err(wrong),
        Some((name, value)) => {
            let number: u64 = value.parse().map_err(|_| format!("{text:?}: {value:?} is no number"))?;
            serde_json::from_value(serde_json::json!({ name: number })).map_err(wrong)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_json_say_the_same() {
        let rules =
            parse_rules("status=503,endpoint=timeline,p=0.5; reset,user=7,count=2,after=1 ;latency_ms=20")
                .unwrap();
        let expected = [
            FaultRule::new(Fault::Status(503)).at(Endpoint::Timeline).probability(0.5),
            FaultRule::new(Fault::Reset).user(7).times(2).after(1),
            FaultRule::new(Fault::LatencyMs(20)),
        ];
        assert_eq!(rules, expected);
        let json = r#"[{"fault":{"status":503},"endpoint":"timeline","probability":0.5},
            {"fault":"reset","user":7,"count":2,"after":1},{"fault":{"latency_ms":20}}]"#;
        assert_eq!(serde_json::from_str::<Vec<FaultRule>>(json).unwrap(), expected);
    }

    #[test]
    fn every_fault_is_named_as_it_is_counted() {
        for fault in [
            Fault::Bare429,
            Fault::Reset,
            Fault::ResetBody,
            Fault::Cut,
            Fault::Hang,
            Fault::Stall,
            Fault::Endless,
            Fault::Empty,
            Fault::Truncated,
            Fault::NotUtf8,
            Fault::WrongTypes,
            Fault::MissingFields,
            Fault::Duplicates,
            Fault::Unordered,
            Fault::Looping,
            Fault::Unending,
            Fault::LimitNonsense,
        ] {
            assert_eq!(parse_fault(fault.name()), Ok(fault));
        }
        for fault in [
            Fault::Status(500),
            Fault::RetryAfter(500),
            Fault::LatencyMs(500),
            Fault::Slow(500),
            Fault::Huge(500),
            Fault::GzipBomb(500),
            Fault::LongCursor(500),
            Fault::Babble(500),
            Fault::Crowded(500),
        ] {
            assert_eq!(parse_fault(&format!("{}=500", fault.name())), Ok(fault));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "explode",
            "status",
            "status=200",
            "status=x",
            "reset=1",
            "reset,p=2",
            "reset,p",
            "reset,user=-1",
            "reset,endpoint=home",
            "reset,often=1",
            "slow=0",
        ] {
            assert!(parse_rules(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<FaultRule>(r#"{"fault":"reset","cuont":1}"#).is_err());
    }
}
