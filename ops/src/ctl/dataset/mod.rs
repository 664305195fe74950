//! `dataset`: looking at crawled files. Needs no cluster.

mod cat;
mod verify;

use clap::Subcommand;

use super::{CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Print the tweets and followers of files or of an account, one a line.
    Cat(cat::Cat),
    /// Read a whole dataset and name every file that is damaged.
    Verify(verify::Verify),
}

impl Dataset {
    /// Runs the verb; it blocks.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Cat(args) => args.run(),
            Self::Verify(args) => args.run(output),
        }
    }
}
