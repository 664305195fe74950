//! `frontier`.

mod export;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Frontier {
    /// Write the accounts that a crawl admitted but did not crawl, as a list for `submit`.
    Export(export::Export),
}

impl Frontier {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Export(args) => args.run(cluster, output).await,
        }
    }
}
