//! `source`.

mod list;

use api::client::ClientError;
use clap::Subcommand;
use storage::dataset::SourceName;

use super::cluster::NodeSources;
use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Source {
    /// Show the sources of each node.
    List,
    /// Let each node send one small request to each of its sources.
    Check,
}

impl Source {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        list::run(cluster, output, matches!(self, Self::Check)).await
    }
}

/// The kind of a source. Fails if none of the nodes that answer has it.
pub async fn somebody_has(cluster: &Cluster, name: &SourceName) -> Result<String, CtlError> {
    let nodes = cluster.sources(false).await?;
    let kind = |node: &NodeSources| {
        let found = node.sources.as_ref().ok()?.iter().find(|source| source.name == *name)?;
        Some(found.kind.clone())
    };
    if let Some(kind) = nodes.iter().find_map(kind) {
        return Ok(kind);
    }
    if let Some(error) = nodes.into_iter().find_map(|node| node.sources.err()) {
        return Err(CtlError::from(error));
    }
    Err(CtlError::Failed(format!(
        "no node has a source {name}; `twm-ctl source list` shows what they have; add [source.{name}] to the settings of the nodes"
    )))
}

/// Why a node did not tell its sources, in one line.
fn silent(error: &ClientError) -> String {
    super::render::printable(&error.to_string())
}
