//! A position in a stream.

use serde::{Deserialize, Serialize};

use super::Stamp;

/// A position in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Time of the last entry that was read, Unix milliseconds.
    pub millis: u64,
    /// Distinguishes it from others of the same millisecond.
    pub sequence: u64,
    /// The number of that entry, counted from the stream's first ever; absent if Redis does not count.
    pub number: Option<u64>,
    /// Total number of entries that were trimmed before they were read.
    pub lost: u64,
}

impl Position {
    /// Before the first entry.
    pub const START: Self = Self { millis: 0, sequence: 0, number: None, lost: 0 };

    /// The last entry that was read.
    pub fn last(&self) -> Stamp {
        Stamp { millis: self.millis, sequence: self.sequence }
    }
}
