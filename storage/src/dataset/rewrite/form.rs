//! The format of a new file.

use crate::dataset::FollowersFormat;

/// Default gzip level.
const DEFAULT_LEVEL: u32 = 6;

/// The format of a new file; by default that of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// Whether it is compressed.
    pub gzip: Gzip,
    /// The format of a follower list; `None` keeps it.
    pub followers: Option<FollowersFormat>,
}

/// Whether a new file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gzip {
    /// As the old file.
    #[default]
    Keep,
    /// Not.
    Plain,
    /// With this level, 1 to 9.
    Level(u32),
}

/// The format of an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) compressed: bool,
    pub(super) packed: bool,
}

impl Form {
    /// The gzip level of a file made of one that is `found`.
    pub(super) fn level(self, found: Found) -> Option<u32> {
        match self.gzip {
            Gzip::Keep => found.compressed.then_some(DEFAULT_LEVEL),
            Gzip::Plain => None,
            Gzip::Level(level) => Some(level.clamp(1, 9)),
        }
    }

    /// How ids are written in a list made of one that is `found`.
    pub(super) fn ids(self, found: Found) -> FollowersFormat {
        let kept = if found.packed { FollowersFormat::Packed } else { FollowersFormat::Text };
        self.followers.unwrap_or(kept)
    }

    /// Whether a file already has this format. The level of a compressed file is unknown.
    pub(super) fn is_met(self, found: Found) -> bool {
        let gzip = match self.gzip {
            Gzip::Keep => true,
            Gzip::Plain => !found.compressed,
            Gzip::Level(_) => false,
        };
        gzip && self.followers.is_none_or(|format| (format == FollowersFormat::Packed) == found.packed)
    }
}
