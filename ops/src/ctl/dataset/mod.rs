//! `dataset`: reading and rewriting crawled files. Needs no cluster.

mod batches;
mod cat;
mod convert;
mod copy;
mod dates;
mod fields;
mod files;
mod form;
mod goal;
#[cfg(feature = "cassandra")]
mod init;
mod merge;
mod merge_places;
mod place;
mod provenance;
mod recover;
mod stat;
mod verify;

pub use place::store;
pub use verify::{Contents, contents};

use clap::Subcommand;

use super::{CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Print the tweets and followers of files or of an account, one per line.
    Cat(cat::Cat),
    /// Count what files contain: items, dates, sizes, defects.
    Stat(stat::Stat),
    /// Read a whole dataset and name every damaged file.
    Verify(verify::Verify),
    /// Make or check the tables of a dataset in Cassandra.
    #[cfg(feature = "cassandra")]
    Init(init::Init),
    /// Copy a dataset to another place: between folders and buckets.
    Copy(copy::Copy),
    /// Write files in another format: packed or as lines, compressed or plain, under our names.
    Convert(convert::Convert),
    /// Save what can be read of damaged files, and set those aside.
    Recover(recover::Recover),
    /// Merge copies of a file, or whole datasets: each tweet and each follower once.
    Merge(merge::Merge),
}

impl Dataset {
    /// Runs the command; blocks.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Cat(args) => args.run(output),
            Self::Stat(args) => args.run(output),
            Self::Verify(args) => args.run(output),
            #[cfg(feature = "cassandra")]
            Self::Init(args) => args.run(output),
            Self::Copy(args) => args.run(output),
            Self::Convert(args) => args.run(output),
            Self::Recover(args) => args.run(output),
            Self::Merge(args) => args.run(output),
        }
    }
}
