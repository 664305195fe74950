//! Formats numbers, times and texts for people.

use std::time::Duration;

/// A number with thousands separators: `12,345,678`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate per second, with one decimal while it is small.
pub fn rate(per_second: f64) -> String {
    if per_second < 100.0 { format!("{per_second:.1}") } else { count(per_second.round() as u64) }
}

/// A time in its two largest units: `3d 4h`, `5m 06s`, `7.1s`, `80ms`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// [`duration`] of this many milliseconds.
pub fn millis(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

/// An external text (a name, a server's answer) with its control characters escaped, so that it stays on its
/// line and cannot control the terminal.
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([0.0, 1.26, 99.9, 12_345.6].map(rate), ["0.0", "1.3", "99.9", "12,346"]);
    }

    #[test]
    fn times_show_their_two_largest_units() {
        let texts = [80, 7_140, 306_000, 3_600_000, 273_600_000].map(millis);
        assert_eq!(texts, ["80ms", "7.1s", "5m 06s", "1h 00m", "3d 4h"]);
    }

    #[test]
    fn a_foreign_text_stays_on_its_line() {
        assert_eq!(printable("a\n\x1b[2Jé"), "a\\n\\u{1b}[2Jé");
    }
}
