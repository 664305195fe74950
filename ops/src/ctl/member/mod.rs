//! `member`.

mod list;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Member {
    /// List the members.
    List,
}

impl Member {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::List => list::run(cluster, output).await,
        }
    }
}
