//! How far a stream was read.

use serde::{Deserialize, Serialize};

use super::Stamp;

/// How far a stream was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last entry that was read: its time, in Unix milliseconds.
    pub millis: u64,
    /// What tells it from others of the same millisecond.
    pub sequence: u64,
    /// The number of that entry, counted from the stream's first ever; absent where Redis does not count.
    pub number: Option<u64>,
    /// Entries that were trimmed away before they were read, in all.
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
