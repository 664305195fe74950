//! The format of a new file.

use crate::dataset::{Codec, Compression, FollowersFormat};

/// The format of a new file; by default that of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// How it is compressed; `None`: as its source, with the codec's usual level.
    pub compression: Option<Compression>,
    /// The format of a follower list; `None` keeps it.
    pub followers: Option<FollowersFormat>,
}

/// The format of an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) codec: Codec,
    pub(super) packed: bool,
}

impl Form {
    /// The compression of a file made of one that is `found`.
    pub(super) fn compression(self, found: Found) -> Compression {
        self.compression.unwrap_or(Compression::of(found.codec))
    }

    /// How ids are written in a list made of one that is `found`.
    pub(super) fn ids(self, found: Found) -> FollowersFormat {
        let kept = if found.packed { FollowersFormat::Packed } else { FollowersFormat::Text };
        self.followers.unwrap_or(kept)
    }

    /// Whether a file already has this format. The level of a compressed file is unknown.
    pub(super) fn is_met(self, found: Found) -> bool {
        let compression = match self.compression {
            None => true,
            Some(Compression::None) => !found.codec.is_compressed(),
            Some(Compression::Gzip(_) | Compression::Zstd(_)) => false,
        };
        compression && self.followers.is_none_or(|format| (format == FollowersFormat::Packed) == found.packed)
    }
}
