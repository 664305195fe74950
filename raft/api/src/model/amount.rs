//! Amounts of money as people write them.

use std::fmt;
use std::str::FromStr;

/// Digits after the point.
const DIGITS: usize = 6;

/// An amount in millionths of the currency that a network bills in: `12`, `12.50`, `0.000001`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u64);

/// A text that is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no amount of money; one looks like 12.50, with six digits after the point at the most")]
pub struct NoAmount(pub String);

impl FromStr for Amount {
    type Err = NoAmount;

    fn from_str(text: &str) -> Result<Self, NoAmount> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let read = || {
            if !digits(whole) || !digits(part) || part.len() > DIGITS {
                return None;
            }
            let micros: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
            whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
        };
        read().map(Self).ok_or_else(|| NoAmount(text.chars().take(40).collect()))
    }
}

/// With two digits after the point, or as many as it takes.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:06}", self.0 % 1_000_000);
        let needed = part.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / 1_000_000, &part[..needed])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_as_it_is_written() {
        for (text, micros) in [("12", 12_000_000), ("12.5", 12_500_000), ("0.000001", 1), ("0", 0)] {
            assert_eq!(text.parse(), Ok(Amount(micros)), "{text}");
        }
        for micros in [0, 1, 5_000, 10_000, 12_500_000, 123_456_789, u64::MAX] {
            assert_eq!(Amount(micros).to_string().parse(), Ok(Amount(micros)));
        }
        assert_eq!([Amount(5_000), Amount(12_500_000)].map(|a| a.to_string()), ["0.005", "12.50"]);
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in
            ["", ".", ".5", "5.", "-1", "+1", "1e3", "1,50", "0.0000001", "99999999999999", "1.2.3", "$5"]
        {
            assert!(text.parse::<Amount>().is_err(), "{text}");
        }
    }
}
