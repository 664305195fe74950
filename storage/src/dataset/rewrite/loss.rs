//! The unreadable part of a file.

use std::ops::AddAssign;

use serde::Serialize;

/// The unreadable part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Loss {
    /// Invalid lines or packed ids, including torn ones.
    pub bad_items: u64,
    /// Their length, decompressed.
    pub bad_bytes: u64,
    /// Stored bytes that could not be decompressed; their contents are unknown.
    pub skipped_bytes: u64,
    /// Gzip members that are truncated or have a wrong checksum.
    pub broken_members: u64,
    /// Whether the file ends too early, with an unknown amount missing.
    pub truncated: bool,
    /// Items that were kept although their checksum is wrong or missing: one of them may contain a changed
    /// character.
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
    /// Whether nothing was lost and everything kept is unchanged.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
