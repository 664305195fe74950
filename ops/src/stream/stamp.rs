//! The ids of a stream's entries.

/// The id of an entry: when it was added. Larger is newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp {
    /// Unix time, in milliseconds.
    pub millis: u64,
    /// Distinguishes entries of the same millisecond.
    pub sequence: u64,
}

impl Stamp {
    /// Before every entry of a stream.
    pub const ZERO: Self = Self { millis: 0, sequence: 0 };
    /// Bytes of a stored one.
    pub const BYTES: usize = 16;

    /// Parses the id of a stream's entry, `MILLIS-SEQUENCE`.
    pub fn of_entry(id: &str) -> Option<Self> {
        let (millis, sequence) = id.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, sequence: sequence.parse().ok()? })
    }

    /// Its stored form: bytes that sort alike.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.millis) << 64 | u128::from(self.sequence)).to_be_bytes()
    }

    /// Of stored bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let both = u128::from_be_bytes(bytes);
        Self { millis: (both >> 64) as u64, sequence: both as u64 }
    }
}

impl std::fmt::Display for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_ordered_by_time_then_sequence_and_survive_storage() {
        let stamp = Stamp::of_entry("1700000000000-7").unwrap();
        assert_eq!(Stamp::from_bytes(stamp.to_bytes()), stamp);
        assert_eq!(stamp.to_string(), "1700000000000-7");
        assert!(Stamp::of_entry("1700000000000-8").unwrap() > stamp);
        assert!(Stamp::of_entry("1700000000001-0").unwrap() > stamp);
        for bad in ["", "1", "1-", "a-1", "1-2-3"] {
            assert_eq!(Stamp::of_entry(bad), None, "{bad:?}");
        }
    }
}
