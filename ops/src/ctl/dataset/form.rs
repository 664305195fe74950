//! Flags for the format of new files.

use clap::{Args, ValueEnum};
use storage::dataset::FollowersFormat;
use storage::dataset::rewrite::{Form, Gzip};

/// The format of new files; by default unchanged.
#[derive(Debug, Clone, Copy, Args)]
pub struct FormArgs {
    /// Write follower lists as lines, or packed as the original program did (8 bytes an id).
    #[arg(long, value_enum, value_name = "FORMAT")]
    followers: Option<ListFormat>,
    /// Compress with this gzip level.
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u32).range(1..=9))]
    gzip: Option<u32>,
    /// Write plain files.
    #[arg(long, conflicts_with = "gzip")]
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
        let gzip = match (self.gzip, self.plain) {
            (Some(level), _) => Gzip::Level(level),
            (None, true) => Gzip::Plain,
            (None, false) => Gzip::Keep,
        };
        let followers = self.followers.map(|format| match format {
            ListFormat::Text => FollowersFormat::Text,
            ListFormat::Packed => FollowersFormat::Packed,
        });
        Form { gzip, followers }
    }
}
