//! `node`.

mod drain;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Grant no more jobs to a node; it finishes those that it has.
    Drain(drain::Drain),
    /// Grant jobs to a node again.
    Undrain(drain::Drain),
}

impl Node {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Drain(args) => args.run(cluster, output, true).await,
            Self::Undrain(args) => args.run(cluster, output, false).await,
        }
    }
}
