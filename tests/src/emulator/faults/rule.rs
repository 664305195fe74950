//! Faults and when they happen.

use std::net::IpAddr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use crate::emulator::Endpoint;

/// A way for an answer to go wrong. In JSON `"reset"` or `{"status": 503}`; on the command line `reset` or
/// `status=503`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// This HTTP status, from 400 on, with a page of HTML as overloaded front ends send it.
    Status(u16),
    /// 429 without any header about limits.
    Bare429,
    /// 429 with `Retry-After` of so many seconds.
    RetryAfter(u32),
    /// The answer comes so many milliseconds later. Adds to another fault of the same request.
    LatencyMs(u64),
    /// The connection is reset before the answer.
    Reset,
    /// The connection is reset in the middle of the body.
    ResetBody,
    /// The connection ends in order in the middle of the body, short of its announced length.
    Cut,
    /// No answer ever comes.
    Hang,
    /// Half of the body comes, then nothing.
    Stall,
    /// The body comes at so many bytes a second.
    Slow(u64),
    /// The body begins well and then never ends.
    Endless,
    /// White space follows the good body until it has so many bytes.
    Huge(u64),
    /// A few bytes of gzip that unpack to so many.
    GzipBomb(u64),
    /// An empty body.
    Empty,
    /// The JSON stops in the middle, in an HTTP body of the right length.
    Truncated,
    /// Bytes that are no UTF-8 within a string.
    NotUtf8,
    /// Valid JSON whose fields have other types than they should.
    WrongTypes,
    /// Valid JSON without the fields that matter.
    MissingFields,
    /// Every tweet, follower or profile twice.
    Duplicates,
    /// Tweets, followers or profiles in disorder.
    Unordered,
    /// Every page of followers leads to the first one again; every page of a timeline is the first one.
    Looping,
    /// Pages of followers never end: behind the last one come empty ones, each with a cursor of its own.
    Unending,
    /// The cursor of the next page has so many characters.
    LongCursor(u64),
    /// Texts of so many characters where the body should have something else.
    Babble(u64),
    /// An array of so many numbers that mean nothing.
    Crowded(u64),
    /// A good body, and headers about limits that make no sense.
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

/// A fault with the requests that it befalls. The first rule that applies wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What goes wrong.
    pub fault: Fault,
    /// Only there; else everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Only requests about this account (a lookup: that name it among others).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<u64>,
    /// Only requests from this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// How likely it is, from 0 to 1.
    #[serde(default = "always")]
    pub probability: f64,
    /// How many matching requests pass before the rule begins.
    #[serde(default)]
    pub after: u64,
    /// How often it happens at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

fn always() -> f64 {
    1.0
}

impl FaultRule {
    /// The fault on every request.
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

    /// At most so many times.
    #[must_use]
    pub fn times(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// Only once so many matching requests have passed.
    #[must_use]
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Says what makes no sense in the rule.
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

/// Reads rules such as `status=503,endpoint=timeline,p=0.05;latency_ms=20,count=3`.
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

/// A fault's name and value mean on the command line what they mean in JSON.
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
