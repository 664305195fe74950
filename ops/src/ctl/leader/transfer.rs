//! `leader transfer`.

use api::model::NodeId;
use clap::Args;
use serde_json::json;

use crate::ctl::output::note;
use crate::ctl::{Cluster, CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Transfer {
    /// The node that shall lead; the one that has come furthest when not given.
    #[arg(long, value_name = "N")]
    to: Option<NodeId>,
}

impl Transfer {
    /// Moves leadership.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let leader = cluster.transfer_leader(self.to).await?;
        if let Some(to) = self.to.filter(|&to| to != leader) {
            return Err(CtlError::Failed(format!(
                "node {leader} leads, not node {to}; look with `twm-ctl status` whether node {to} is up and caught up"
            )));
        }
        if output.is_json() {
            return output.json(&json!({ "leader": leader }));
        }
        note(format!("node {leader} leads"));
        Ok(())
    }
}
