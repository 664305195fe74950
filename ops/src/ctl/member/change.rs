//! `member promote`, `demote` and `remove`.

use api::model::NodeId;
use api::wire::MemberRequest;
use clap::Args;
use serde_json::json;

use crate::ctl::output::note;
use crate::ctl::{Cluster, CtlError, Output};

/// Which member.
#[derive(Debug, Args)]
pub struct OfNode {
    /// The node's number, as `twm-ctl member list` shows it.
    #[arg(value_name = "N")]
    node: NodeId,
}

impl OfNode {
    /// Promotes the member.
    pub async fn promote(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let node = self.node;
        run(cluster, output, MemberRequest::Promote { node }, node, &format!("node {node} votes")).await
    }

    /// Demotes the member.
    pub async fn demote(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let node = self.node;
        let done = format!("node {node} votes no more; it holds the replica and runs workers");
        run(cluster, output, MemberRequest::Demote { node }, node, &done).await
    }

    /// Takes it out.
    pub async fn remove(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let node = self.node;
        let done =
            format!("node {node} is no member any more; its process stops, and its disk cannot come back");
        run(cluster, output, MemberRequest::Remove { node }, node, &done).await
    }
}

/// Requests a change and reports that it was made.
pub(super) async fn run(
    cluster: &Cluster,
    output: Output,
    request: MemberRequest,
    node: NodeId,
    done: &str,
) -> Result<(), CtlError> {
    cluster.change_members(request).await?;
    tell(output, node, done)
}

/// Reports that a change was made.
pub(super) fn tell(output: Output, node: NodeId, done: &str) -> Result<(), CtlError> {
    if output.is_json() {
        return output.json(&json!({ "node": node }));
    }
    note(done);
    Ok(())
}
