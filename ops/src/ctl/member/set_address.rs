//! `member set-address`.

use api::model::NodeId;
use api::wire::MemberRequest;
use clap::Args;

use crate::ctl::{Cluster, CtlError, Output, endpoint};

/// Arguments.
#[derive(Debug, Args)]
pub struct SetAddress {
    /// The node's number.
    #[arg(value_name = "N")]
    node: NodeId,
    /// Where it is reached now. It has to answer there.
    #[arg(value_name = "HOST:PORT", value_parser = endpoint)]
    address: String,
}

impl SetAddress {
    /// Tells the others.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let (node, address) = (self.node, self.address.clone());
        let done = format!("node {node} is reached at {address}; put that into the --peers of all nodes");
        super::change::run(cluster, output, MemberRequest::SetAddress { node, address }, node, &done).await
    }
}
