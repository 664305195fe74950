//! `leader`.

mod show;
mod transfer;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Leader {
    /// Show who leads.
    Show,
    /// Move leadership to another node.
    Transfer(transfer::Transfer),
}

impl Leader {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Show => show::run(cluster, output).await,
            Self::Transfer(args) => args.run(cluster, output).await,
        }
    }
}
