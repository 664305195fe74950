//! `node drain` and `node undrain`.

use api::model::{NodeId, Write};
use clap::Args;
use serde_json::json;

use crate::ctl::output::note;
use crate::ctl::{Cluster, CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Drain {
    /// The node.
    #[arg(value_name = "N")]
    node: NodeId,
}

impl Drain {
    /// Stops or resumes granting jobs to the node.
    pub async fn run(&self, cluster: &Cluster, output: Output, drained: bool) -> Result<(), CtlError> {
        let node = self.node;
        let members = cluster.status().await?.nodes;
        if !members.iter().any(|m| m.id == node) {
            return Err(CtlError::Failed(format!(
                "node {node} is no member of the cluster; `twm-ctl member list` shows them"
            )));
        }
        cluster.write(Write::Drain { node, drained }).await?;
        if output.is_json() {
            return output.json(&json!({ "node": node, "drained": drained }));
        }
        let told = if drained { "gets no more jobs" } else { "gets jobs again" };
        note(format!("node {node} {told}"));
        Ok(())
    }
}
