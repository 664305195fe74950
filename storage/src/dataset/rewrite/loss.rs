//! What could not be read.

use std::ops::AddAssign;

use serde::Serialize;

/// What could not be read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Loss {
    /// Lines or packed ids that are no items, torn ones among them.
    pub bad_items: u64,
    /// Length of those, decompressed.
    pub bad_bytes: u64,
    /// Stored bytes of the file that could not be decompressed; nobody knows what was in them.
    pub skipped_bytes: u64,
    /// Gzip members that break off, or whose checksum is wrong.
    pub broken_members: u64,
    /// Whether the file ends too early: how much more there was cannot be known.
    pub truncated: bool,
    /// Items that were kept although the checksum over them is wrong or missing: one of them may hold a
    /// changed character.
    pub unverified: u64,
}

impl AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.bad_items += other.bad_items;
        self.bad_bytes += other.bad_bytes;
        self.skipped_bytes += other.skipped_bytes;
        self.broken_members += other.broken_members;
        self.truncated |= other.truncated;
        self.unverified += other.unverified;
    }
}

impl Loss {
    /// Whether nothing was lost and all that was kept is as it was written.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
