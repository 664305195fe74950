//! Moments in time, in milliseconds since the Unix epoch, up to the year 9999; parsing and formatting.

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// A day.
pub(super) const DAY: i64 = 86_400_000;

/// `Thu May 30 21:15:48 +0000 2013`.
const TWITTER: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short] [month repr:short] [day] [hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute] [year]"
);
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
/// Always with milliseconds: texts of the same length sort by time.
const UNIVERSAL: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Parses Twitter's format, or RFC 3339: `2013-05-30T21:15:48.5Z`.
pub(super) fn parse(text: &str) -> Option<i64> {
    let moment = OffsetDateTime::parse(text, TWITTER).or_else(|_| OffsetDateTime::parse(text, &Rfc3339));
    moment.ok().and_then(millis)
}

/// Parses `2013-05-30` as the start of that day, in UTC.
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let day = Date::parse(text, DATE).ok()?;
    millis(day.midnight().assume_utc())
}

/// RFC 3339 in UTC; `None` beyond the year 9999.
pub(super) fn format(millis: i64) -> Option<String> {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()?;
    moment.format(UNIVERSAL).ok()
}

fn millis(moment: OffsetDateTime) -> Option<i64> {
    let nanos = moment.unix_timestamp_nanos();
    (nanos >= 0).then(|| i64::try_from(nanos / 1_000_000).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_with_known_ones() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-23T08:21:01.12345Z", 1_795_422_061_123),
            ("2026-11-23T09:21:01.5+01:00", 1_795_422_061_500),
            ("2026-11-23 03:21:01-05:00", 1_795_422_061_000),
            ("Wed May 29 19:23:05 +0000 2013", 1_369_855_385_000),
            ("Wed May 29 21:23:05 +0200 2013", 1_369_855_385_000),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
            let whole = format(millis).unwrap();
            assert_eq!(parse(&whole), Some(millis), "{whole}");
        }
        assert_eq!(format(1_369_855_385_007).unwrap(), "2013-05-29T19:23:05.007Z");
        assert_eq!(parse_day("2013-05-29").and_then(format).unwrap(), "2013-05-29T00:00:00.000Z");
        assert_eq!(format(i64::MAX), None);
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "soon",
            "2026-11-23",
            "2026-11-23T08:21:01",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-23T08:21:01.Z",
            "2026-11-23T08:21:01.5",
            "2026-11-23T08:21:01+0100",
            "1960-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-1\u{e9}-23T08:21:01Z",
            "2026-11-23T24:00:00Z",
            "Wed May 29 19:23:05 +0000 99999999999999999999",
            "Wed Mai 29 19:23:05 +0000 2013",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        for text in ["", "2013-5-29", "2013-02-29", "02013-01-01", "2013-01-01-", "1969-12-31"] {
            assert_eq!(parse_day(text), None, "{text:?}");
        }
    }
}
