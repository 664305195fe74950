//! `member add`.

use api::model::NodeId;
use api::wire::MemberRequest;
use clap::Args;

use crate::ctl::{Cluster, CtlError, Output, endpoint};

/// Arguments.
#[derive(Debug, Args)]
pub struct Add {
    /// The new node's number, which no member has.
    #[arg(value_name = "N")]
    node: NodeId,
    /// Where the others will reach it.
    #[arg(value_name = "HOST:PORT", value_parser = endpoint)]
    address: String,
}

impl Add {
    /// Admits the node.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let (node, address) = (self.node, self.address.clone());
        let members = cluster.endpoints().join(",");
        let done = format!(
            "node {node} is let in: start it with an empty --data-dir and \
             `twm-node --id {node} --join {members} --listen {address}`"
        );
        super::change::run(cluster, output, MemberRequest::Add { node, address }, node, &done).await
    }
}
