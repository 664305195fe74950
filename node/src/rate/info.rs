//! What an answer reports about the budget that it counted against.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Longest wait that is accepted from a server. X API v2 has windows of 24 hours.
const LONGEST_WAIT: Duration = Duration::from_secs(25 * 3600);

/// Longest wait that is accepted if it depends on the local clock: Twitter's longest window (v1; v1.1 has 15
/// minutes).
const LONGEST_UNDATED_WAIT: Duration = Duration::from_secs(3600);

/// Numbers from here on are Unix seconds, smaller ones are relative seconds (2001-09-09).
const SMALLEST_EPOCH: u64 = 1_000_000_000;
/// Numbers from here on are Unix milliseconds.
const SMALLEST_EPOCH_MILLIS: u64 = 1_000_000_000_000;

/// How far a request got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was never sent: no connection. The server cannot have counted it.
    NotSent,
    /// It may have arrived, but no answer came. It has to be assumed that it was counted.
    Unanswered,
    /// An answer arrived with this HTTP status.
    Answered(u16),
}

/// What one answer reports about the budget that it counted against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateInfo {
    /// How far the request got.
    pub delivery: Delivery,
    /// The server reported that the budget is spent (429, 420, or 400 with code 88).
    pub limited: bool,
    /// Requests in a whole window.
    pub limit: Option<u64>,
    /// Requests left in this window. 0 on a successful answer: this one still counts, the next has to wait.
    pub remaining: Option<u64>,
    /// Time to the next window, by the server's own clock if it sent its `Date`, so that a wrong local clock
    /// does no harm. Both are whole seconds, so up to a second may be missing.
    pub reset_in: Option<Duration>,
    /// Whether `reset_in` is a guess: the server named a moment but not its own time, and the local clock may be
    /// wrong. It can then be too short, and is never over an hour.
    pub undated: bool,
    /// The end of the window as the server writes it, in Unix seconds. Answers from one window agree on it.
    pub window: Option<u64>,
    /// `Retry-After`, on any status.
    pub retry_after: Option<Duration>,
    /// The server's clock (`Date`), Unix seconds.
    pub date: Option<u64>,
}

impl RateInfo {
    fn silent(delivery: Delivery) -> Self {
        let (limit, remaining, reset_in, window, retry_after) = (None, None, None, None, None);
        let (limited, undated, date) = (false, false, None);
        Self { delivery, limited, limit, remaining, reset_in, undated, window, retry_after, date }
    }

    /// No request was sent.
    pub fn not_sent() -> Self {
        Self::silent(Delivery::NotSent)
    }

    /// The request may have arrived; no answer came.
    pub fn unanswered() -> Self {
        Self::silent(Delivery::Unanswered)
    }

    /// Parses an answer's headers. `wall` is the local wall clock, used only if the server sent no `Date`.
    ///
    /// Accepted are `x-rate-limit-*` (Twitter v1.1, X), `x-ratelimit-*` (Twitter v1, Mastodon) and `ratelimit-*`
    /// (Bluesky, IETF draft); a reset in Unix seconds, milliseconds, relative seconds, or ISO 8601.
    pub fn from_headers(status: u16, headers: &HeaderMap, wall: Duration) -> Self {
        let date = text(headers, DATE.as_str()).and_then(parse_http_date);
        let now = date.unwrap_or(wall.as_secs());
        let reset = field(headers, "reset").and_then(|text| parse_reset(text, now));
        let undated = date.is_none() && reset.is_some_and(|(_, absolute)| absolute);
        let longest = if undated { LONGEST_UNDATED_WAIT } else { LONGEST_WAIT };
        let reset = reset.map(|(moment, _)| moment);
        let retry_after = text(headers, RETRY_AFTER.as_str());
        Self {
            delivery: Delivery::Answered(status),
            limited: matches!(status, 420 | 429),
            limit: field(headers, "limit").and_then(parse_count),
            remaining: field(headers, "remaining").and_then(parse_count),
            reset_in: reset.map(|reset| until(reset, now).min(longest)),
            undated,
            window: reset,
            retry_after: retry_after.and_then(|text| parse_retry_after(text, now, date.is_some())),
            date,
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn field<'a>(headers: &'a HeaderMap, what: &str) -> Option<&'a str> {
    let (newer, older, draft) = match what {
        "limit" => ("x-rate-limit-limit", "x-ratelimit-limit", "ratelimit-limit"),
        "remaining" => ("x-rate-limit-remaining", "x-ratelimit-remaining", "ratelimit-remaining"),
        _ => ("x-rate-limit-reset", "x-ratelimit-reset", "ratelimit-reset"),
    };
    [newer, older, draft].into_iter().find_map(|name| text(headers, name))
}

/// A count; a negative one means that none is left.
fn parse_count(text: &str) -> Option<u64> {
    match text.parse::<u64>() {
        Ok(count) => Some(count),
        Err(_) => text.parse::<i64>().ok().map(|_| 0),
    }
}

fn until(moment: u64, now: u64) -> Duration {
    Duration::from_secs(moment.saturating_sub(now)).min(LONGEST_WAIT)
}

/// The moment, and whether the server named it as such rather than as a relative time.
fn parse_reset(text: &str, now: u64) -> Option<(u64, bool)> {
    let number = text.split('.').next().unwrap_or(text);
    match number.parse::<u64>() {
        Ok(n) if n >= SMALLEST_EPOCH_MILLIS => Some((n / 1000, true)),
        Ok(n) if n >= SMALLEST_EPOCH => Some((n, true)),
        Ok(n) => Some((now.checked_add(n)?, false)),
        Err(_) => Some((parse_moment(text)?, true)),
    }
}

fn parse_retry_after(text: &str, now: u64, dated: bool) -> Option<Duration> {
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds).min(LONGEST_WAIT)),
        Err(_) if dated => parse_http_date(text).map(|moment| until(moment, now)),
        // A moment that has passed by a clock that may be wrong is meaningless.
        Err(_) => parse_http_date(text)
            .map(|moment| until(moment, now).min(LONGEST_UNDATED_WAIT))
            .filter(|wait| !wait.is_zero()),
    }
}

fn parse_http_date(text: &str) -> Option<u64> {
    let moment = httpdate::parse_http_date(text).ok()?;
    moment.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Unix seconds of an RFC 3339 timestamp (`2026-11-23T08:21:01.123Z`).
fn parse_moment(text: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// 2026-11-23T08:21:01Z
    const NOW: u64 = 1_795_422_061;
    const DATE: (&str, &str) = ("Date", "Mon, 23 Nov 2026 08:21:01 GMT");

    fn rate(pairs: &[(&str, &str)]) -> RateInfo {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        // A local clock that is an hour late.
        RateInfo::from_headers(200, &headers, Duration::from_secs(NOW - 3600))
    }

    #[test]
    fn both_spellings_in_any_case_are_read() {
        for prefix in ["X-RateLimit-", "x-rate-limit-", "X-RATE-LIMIT-", "ratelimit-"] {
            let names = ["limit", "remaining", "reset"].map(|name| format!("{prefix}{name}"));
            let reset = (NOW + 100).to_string();
            let rate = rate(&[DATE, (&names[0], "180"), (&names[1], "17"), (&names[2], &reset)]);
            assert_eq!((rate.limit, rate.remaining), (Some(180), Some(17)), "{prefix}");
            assert_eq!((rate.reset_in, rate.window), (Some(Duration::from_secs(100)), Some(NOW + 100)));
        }
    }

    #[test]
    fn the_servers_clock_counts_and_the_local_one_only_without_it() {
        let reset = (NOW + 100).to_string();
        let dated = rate(&[DATE, ("x-ratelimit-reset", &reset)]);
        assert_eq!((dated.reset_in, dated.undated), (Some(Duration::from_secs(100)), false));
        // By the local clock, more than an hour is left.
        let undated = rate(&[("x-ratelimit-reset", &reset)]);
        assert_eq!((undated.reset_in, undated.undated), (Some(LONGEST_UNDATED_WAIT), true));
        let from_now = rate(&[("ratelimit-reset", "7000")]);
        assert_eq!((from_now.reset_in, from_now.undated), (Some(Duration::from_secs(7000)), false));
    }

    #[test]
    fn resets_come_in_many_forms() {
        for reset in ["30", "1795422091", "1795422091.7", "1795422091000", "2026-11-23T09:21:31.5+01:00"] {
            assert_eq!(
                rate(&[DATE, ("x-ratelimit-reset", reset)]).reset_in,
                Some(Duration::from_secs(30)),
                "{reset}"
            );
        }
        assert_eq!(rate(&[DATE, ("x-ratelimit-reset", "1795422000")]).reset_in, Some(Duration::ZERO));
        assert_eq!(rate(&[DATE, ("x-ratelimit-reset", "9999999999")]).reset_in, Some(LONGEST_WAIT));
        let no_moments =
            ["2026-11-23", "2026-11-23T08:21:31", "2026-11-23T09:21:31+0100", "1960-01-01T00:00:00Z"];
        for nonsense in ["", "-5", "soon", "18446744073709551616"].into_iter().chain(no_moments) {
            assert_eq!(rate(&[DATE, ("x-ratelimit-reset", nonsense)]).reset_in, None, "{nonsense}");
        }
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        assert_eq!(rate(&[("retry-after", "7")]).retry_after, Some(Duration::from_secs(7)));
        let date = ("retry-after", "Mon, 23 Nov 2026 08:22:01 GMT");
        assert_eq!(rate(&[DATE, date]).retry_after, Some(Duration::from_secs(60)));
        let undated = |date| rate(&[("retry-after", date)]).retry_after;
        assert_eq!(undated("Tue, 24 Nov 2026 08:22:01 GMT"), Some(LONGEST_UNDATED_WAIT));
        assert_eq!(undated("Sun, 22 Nov 2026 08:22:01 GMT"), None);
        assert_eq!(rate(&[("retry-after", "whenever")]).retry_after, None);
    }

    #[test]
    fn counts_below_zero_are_none_left() {
        assert_eq!(rate(&[("x-ratelimit-remaining", "-3")]).remaining, Some(0));
        assert_eq!(rate(&[("x-ratelimit-remaining", "many")]).remaining, None);
    }
}
