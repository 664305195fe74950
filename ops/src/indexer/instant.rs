//! Moments in time, as networks and people write them: milliseconds since the Unix epoch, up to the year 9999.

/// A day.
pub(super) const DAY: i64 = 86_400_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Thu May 30 21:15:48 +0000 2013`, or an ISO-8601 moment with a zone such as `2013-05-30T21:15:48.5Z`.
pub(super) fn parse(text: &str) -> Option<i64> {
    of_twitter(text).or_else(|| of_iso(text))
}

/// Reads `2013-05-30`: its first moment.
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let [year @ [_, _, _, _], month @ [_, _], day @ [_, _]] = split(text, '-')? else { return None };
    moment(digits(year)?, digits(month)?, digits(day)?, [0; 3])
}

/// As ISO-8601, in universal time.
pub(super) fn format(millis: i64) -> String {
    let (days, rest) = (millis.div_euclid(DAY), millis.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    let (seconds, thousandths) = (rest / 1000, rest % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{thousandths:03}Z")
}

fn of_twitter(text: &str) -> Option<i64> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_weekday, month, day, time, zone, year] = words[..] else { return None };
    let month = 1 + MONTHS.iter().position(|name| *name == month)? as i64;
    let local = moment(digits(year.as_bytes())?, month, digits(day.as_bytes())?, clock(time)?)?;
    checked(local - ahead(zone)?)
}

fn of_iso(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', ' '])?;
    let (time, zone) = rest.split_at(rest.find(['Z', 'z', '+', '-'])?);
    let (time, thousandths) = match time.split_once('.') {
        Some((time, fraction)) => (time, thousandths(fraction.as_bytes())?),
        None => (time, 0),
    };
    let [hour, minute, second] = clock(time)?;
    let local = parse_day(date)? + ((hour * 60 + minute) * 60 + second) * 1000 + thousandths;
    checked(local - ahead(zone)?)
}

/// The milliseconds of a moment, or of a leap second the first of the next minute.
fn moment(year: i64, month: i64, day: i64, [hour, minute, second]: [i64; 3]) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_epoch(year, month, day);
    // The 31st of a month that has none.
    (civil(days) == (year, month, day)).then_some(())?;
    Some(days * DAY + ((hour * 60 + minute) * 60 + second) * 1000)
}

fn checked(millis: i64) -> Option<i64> {
    (0..days_since_epoch(10_000, 1, 1) * DAY).contains(&millis).then_some(millis)
}

/// `HH:MM:SS`.
fn clock(text: &str) -> Option<[i64; 3]> {
    let [hour @ [_, _], minute @ [_, _], second @ [_, _]] = split(text, ':')? else { return None };
    let time = [digits(hour)?, digits(minute)?, digits(second)?];
    (time[0] < 24 && time[1] < 60 && time[2] <= 60).then_some(time)
}

/// How far a zone (`Z`, `+0130`, `-01:30`) is ahead of universal time.
fn ahead(zone: &str) -> Option<i64> {
    let (sign, digits_of) = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            (*sign, [*h1, *h2, *m1, *m2])
        }
        _ => return None,
    };
    let (hours, minutes) = digits_of.split_at(2);
    let ahead = (digits(hours)? * 60 + digits(minutes)?) * 60_000;
    Some(if sign == b'-' { -ahead } else { ahead })
}

fn thousandths(fraction: &[u8]) -> Option<i64> {
    digits(fraction.get(..fraction.len().min(9))?)?;
    let three = [0, 1, 2].map(|place| fraction.get(place).copied().unwrap_or(b'0'));
    (!fraction.is_empty()).then_some(())?;
    digits(&three)
}

fn split(text: &str, at: char) -> Option<[&[u8]; 3]> {
    let mut parts = text.split(at).map(str::as_bytes);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

fn digits(text: &[u8]) -> Option<i64> {
    let short = text.len() <= 9;
    let number = |sum: i64, b: &u8| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0'));
    text.iter().filter(|_| short).try_fold(0, number).filter(|_| short)
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar (Hinnant, `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Counting years from March puts the leap day at the end of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The day of that number (Hinnant, `civil_from_days`).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
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
            ("2026-11-23 03:21:01-0500", 1_795_422_061_000),
            ("Wed May 29 19:23:05 +0000 2013", 1_369_855_385_000),
            ("Wed May 29 21:23:05 +0200 2013", 1_369_855_385_000),
        ] {
            assert_eq!(parse(text), Some(millis), "{text}");
            let whole = format(millis);
            assert_eq!(parse(&whole), Some(millis), "{whole}");
        }
        assert_eq!(format(1_369_855_385_007), "2013-05-29T19:23:05.007Z");
        assert_eq!(parse_day("2013-05-29").map(format).as_deref(), Some("2013-05-29T00:00:00.000Z"));
        let last = days_since_epoch(10_000, 1, 1) - 1;
        assert!((0..=last).step_by(13).all(|day| {
            let (year, month, of_month) = civil(day);
            days_since_epoch(year, month, of_month) == day
        }));
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
