//! Dates as networks spell them.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date in a format that is comparable and readable: Twitter's `Thu May 30 21:15:48 +0000 2013` becomes
/// `2013-05-30T21:15:48Z`; any other spelling is kept.
pub fn normal(date: &str) -> String {
    twitter(date).unwrap_or_else(|| date.to_owned())
}

fn twitter(date: &str) -> Option<String> {
    let mut words = date.split_ascii_whitespace();
    let (_weekday, month, day) = (words.next()?, words.next()?, words.next()?);
    let (time, zone, year) = (words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let day: u8 = day.parse().ok()?;
    let year: u16 = year.parse().ok()?;
    (zone == "+0000" && words.next().is_none()).then(|| format!("{year:04}-{month:02}-{day:02}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twitters_dates_become_comparable_and_others_stay() {
        assert_eq!(normal("Thu May 30 21:15:48 +0000 2013"), "2013-05-30T21:15:48Z");
        for other in ["2013-05-30T21:15:48.000Z", "", "Thu May 30", "Thu May 30 21:15:48 +0200 2013"] {
            assert_eq!(normal(other), other);
        }
    }
}
