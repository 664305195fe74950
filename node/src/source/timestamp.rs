//! Moments in time as servers write them.

/// Seconds since the Unix epoch of an ISO-8601 moment with a time zone (`2026-11-23T08:21:01.123Z`,
/// `...+01:00`), as RFC 3339 restricts it. Fractions are cut off. `None` for anything else.
pub(super) fn parse_iso8601(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    let (date, rest) = text.split_at_checked(10)?;
    let (time, zone) = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?.split_at_checked(8)?;
    let ([year @ .., b'-', m1, m2, b'-', d1, d2], [h1, h2, b':', n1, n2, b':', s1, s2]) = (date, time) else {
        return None;
    };
    let (month, day) = (digits(&[*m1, *m2])?, digits(&[*d1, *d2])?);
    let (hour, minute, second) = (digits(&[*h1, *h2])?, digits(&[*n1, *n2])?, digits(&[*s1, *s2])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_epoch(digits(year)?, month, day);
    let local = days * 86_400 + hour * 3_600 + minute * 60 + second;
    u64::try_from(local - zone_offset(zone)?).ok()
}

/// Seconds that a zone (`Z`, `+hh:mm`, `-hh:mm`, after an optional fraction) is ahead of UTC.
fn zone_offset(zone: &[u8]) -> Option<i64> {
    let zone = match zone.strip_prefix(b".") {
        Some(fraction) => {
            let end = fraction.iter().position(|b| !b.is_ascii_digit())?;
            &fraction[end..]
        }
        None => zone,
    };
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let ahead = digits(&[*h1, *h2])? * 3_600 + digits(&[*m1, *m2])? * 60;
            Some(if *sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0i64, |sum, b| b.is_ascii_digit().then(|| sum * 10 + i64::from(b - b'0')))
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar (Hinnant, `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Counting years from March puts the leap day at the end of a year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_agree_with_known_ones() {
        assert_eq!(parse_iso8601("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_iso8601("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(parse_iso8601("2026-11-23T08:21:01.123Z"), Some(1_795_422_061));
        assert_eq!(parse_iso8601("2026-11-23T09:21:01+01:00"), Some(1_795_422_061));
        assert_eq!(parse_iso8601("2026-11-23T03:21:01-05:00"), Some(1_795_422_061));
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "soon",
            "2026-11-23",
            "2026-11-23T08:21:01",
            "2026-13-01T00:00:00Z",
            "2026-11-23T08:21:01.5",
            "1960-01-01T00:00:00Z",
            "2026-11-23T08:21:01+0100",
            "2026-1\u{e9}-23T08:21:01Z",
        ] {
            assert_eq!(parse_iso8601(text), None, "{text:?}");
        }
    }
}
