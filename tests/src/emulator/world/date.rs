//! Dates in the format of the API.

use std::fmt::Write;

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Appends a Unix time in seconds as `Wed Aug 27 13:08:45 +0000 2008`.
pub(in crate::emulator) fn write_date(unix: u64, into: &mut String) {
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let weekday = WEEKDAYS[(days % 7) as usize];
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    let month = MONTHS[month];
    // Writing to a String cannot fail.
    let _ = write!(into, "{weekday} {month} {day:02} {h:02}:{m:02}:{s:02} +0000 {year}");
}

/// A Unix time in microseconds as `2026-10-14T19:10:00.526148Z`, with 3 or 6 digits of the fraction.
pub(in crate::emulator) fn iso_date(unix_micros: u64, digits: usize) -> String {
    let (unix, micros) = (unix_micros / 1_000_000, unix_micros % 1_000_000);
    let (days, second) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    let fraction = format!("{micros:06}");
    format!("{year}-{:02}-{day:02}T{h:02}:{m:02}:{s:02}.{:.digits$}Z", month + 1, fraction)
}

/// Year, month from 0 and day from 1 of a day counted from 1970-01-01.
///
/// Years are counted from March, so that the leap day is their last day; 400 years always have 146,097 days.
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day + 2) / 153;
    let day = day - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12;
    (era * 400 + year + u64::from(month < 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix, date) in [
            (0, "Thu Jan 01 00:00:00 +0000 1970"),
            (1_219_842_525, "Wed Aug 27 13:08:45 +0000 2008"),
            (951_782_400, "Tue Feb 29 00:00:00 +0000 2000"),
            (1_356_998_399, "Mon Dec 31 23:59:59 +0000 2012"),
        ] {
            let mut text = String::new();
            write_date(unix, &mut text);
            assert_eq!(text, date);
        }
    }

    #[test]
    fn moments_have_the_digits_that_were_asked_for() {
        assert_eq!(iso_date(1_791_997_800_526_148, 6), "2026-10-14T17:10:00.526148Z");
        assert_eq!(iso_date(1_791_997_800_526_148, 3), "2026-10-14T17:10:00.526Z");
        assert_eq!(iso_date(5, 6), "1970-01-01T00:00:00.000005Z");
    }
}
