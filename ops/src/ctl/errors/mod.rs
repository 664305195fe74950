//! `errors`.

mod list;
mod retry;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Errors {
    /// List the failed accounts of a crawl, with the reasons.
    List(list::List),
    /// Put failed accounts back into the queue.
    Retry(retry::Retry),
}

impl Errors {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::List(args) => args.run(cluster, output).await,
            Self::Retry(args) => args.run(cluster, output).await,
        }
    }
}
