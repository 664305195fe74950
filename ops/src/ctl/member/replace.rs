//! `member replace`.

use api::model::NodeId;
use clap::Args;

use crate::ctl::{Cluster, CtlError, Output, endpoint};

/// Arguments.
#[derive(Debug, Args)]
pub struct Replace {
    /// The node's number.
    #[arg(value_name = "N")]
    node: NodeId,
    /// Where the others will reach it, if it is on another host now.
    #[arg(value_name = "HOST:PORT", value_parser = endpoint)]
    address: Option<String>,
}

impl Replace {
    /// Admits one new disk.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let (node, address) = (self.node, self.address.clone());
        let done = format!(
            "one new disk of node {node} is let in: start the node with an empty --data-dir; its old disk is refused once the \
             new one has taken its place"
        );
        cluster.replace_disk(node, address).await?;
        super::change::tell(output, node, &done)
    }
}
