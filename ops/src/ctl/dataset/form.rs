//! Flags for the format of new files.

use clap::{Args, ValueEnum};
use storage::dataset::rewrite::Form;
use storage::dataset::{Compression, FollowersFormat};

/// The format of new files; by default unchanged.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormArgs {
    /// Write follower lists as lines, or packed as the original program did (8 bytes an id).
    #[arg(long, value_enum, value_name = "FORMAT")]
    followers: Option<ListFormat>,
    /// Compress with this gzip level.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=9))]
    gzip: Option<u32>,
    /// Compress with this zstd level.
    #[arg(long, value_name = "LEVEL", conflicts_with = "gzip", value_parser = clap::value_parser!(u32).range(1..=19))]
    zstd: Option<u32>,
    /// Write plain files.
    #[arg(long, conflicts_with_all = ["gzip", "zstd"])]
    plain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Text,
    Packed,
}

impl FormArgs {
    /// The format according to the flags.
    pub fn form(&self) -> Form {
        let plain = self.plain.then_some(Compression::None);
        let compression = self.gzip.map(Compression::Gzip).or(self.zstd.map(Compression::Zstd)).or(plain);
        let followers = self.followers.map(|format| match format {
            ListFormat::Text => FollowersFormat::Text,
            ListFormat::Packed => FollowersFormat::Packed,
        });
        Form { compression, followers }
    }
}
