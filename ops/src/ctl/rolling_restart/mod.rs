//! `rolling-restart --exec CMD`.

mod exec;
mod plan;
mod ready;

use std::time::Duration;

use api::client::ClientError;
use api::model::{ClusterStatus, MemberStatus, NodeId};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::output::note;
use super::render::{columns, duration};
use super::{Cluster, CtlError, Output, health, seconds};
use ready::Ready;

/// Pause between two polls of a node that is starting.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Arguments.
#[derive(Debug, Args)]
pub struct RollingRestart {
    /// The command that restarts one node, run by `sh -c` with TWM_NODE_ID and TWM_NODE_ADDRESS in its
    /// environment.
    #[arg(long, value_name = "CMD")]
    exec: String,
    /// Restart only these nodes.
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    only: Vec<NodeId>,
    /// Seconds after which a node that is not back and caught up stops the roll.
    #[arg(long, value_name = "S", default_value = "120", value_parser = seconds)]
    node_timeout: Duration,
}

impl RollingRestart {
    /// Restarts one node after the other, followers first. Each must be back and caught up, and the cluster
    /// healthy, before the next one is touched.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let status = cluster.status().await?;
        let troubles = health::troubles(&status);
        if !troubles.is_empty() {
            let troubles = troubles.join("; ");
            return Err(CtlError::Unhealthy(format!(
                "{troubles}; no node was restarted, repair the cluster first"
            )));
        }
        let order = plan::order(&status, &self.only)?;
        // The nodes in --endpoints are among those that go down.
        let cluster = cluster.through_also(status.nodes.iter().map(|m| m.address.clone()));
        let mut took = Vec::new();
        for (index, &node) in order.iter().enumerate() {
            let time = self.restart(&cluster, node).await.map_err(|why| stopped(why, &order, index))?;
            note(format!("node {node} is back and caught up after {}", duration(time)));
            took.push((node, time));
        }
        tell(output, &took)
    }

    async fn restart(&self, cluster: &Cluster, node: NodeId) -> Result<Duration, CtlError> {
        let before = give_up_leadership(cluster, node).await?;
        let mut ready = Ready::new(node, before.node.as_ref().is_some_and(|n| n.workers.is_some()));
        note(format!("node {node} ({}): restarting", before.address));
        let start = Instant::now();
        let deadline = start + self.node_timeout;
        exec::run(&self.exec, node, &before.address, deadline).await?;
        loop {
            let missing = match cluster.status().await {
                Ok(status) => ready.missing(&status, start.elapsed()),
                Err(error @ ClientError::Unreachable { .. }) => Some(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            let Some(missing) = missing else { return Ok(start.elapsed()) };
            if Instant::now() >= deadline {
                let waited = duration(self.node_timeout);
                return Err(CtlError::Failed(format!("it is not ready after {waited}: {missing}")));
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Transfers the leadership if possible. Returns the node's status before its restart.
async fn give_up_leadership(cluster: &Cluster, node: NodeId) -> Result<MemberStatus, CtlError> {
    let status = cluster.status().await?;
    if status.leader == node && voters(&status) > 1 {
        let leader = cluster.transfer_leader(None).await?;
        if leader == node {
            return Err(CtlError::Failed("it still leads after its leadership was to move".to_owned()));
        }
        note(format!("node {leader} leads instead of node {node}"));
    }
    let member = status.nodes.into_iter().find(|m| m.id == node);
    member.ok_or_else(|| CtlError::Failed("it is no member of the cluster any more".to_owned()))
}

fn voters(status: &ClusterStatus) -> usize {
    status.nodes.iter().filter(|m| m.voter).count()
}

/// Names the node that stopped the roll, and how to continue. Keeps the kind of the error.
fn stopped(why: CtlError, order: &[NodeId], at: usize) -> CtlError {
    let list = |nodes: &[NodeId]| nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",");
    let done = if at == 0 { "none".to_owned() } else { list(&order[..at]) };
    let message = format!(
        "stopped at node {}: {why}; restarted before it: {done}; repair it, then continue with --only {}",
        order[at],
        list(&order[at..])
    );
    match why {
        CtlError::Interrupted | CtlError::ReaderGone => why,
        CtlError::Unhealthy(_) => CtlError::Unhealthy(message),
        CtlError::Cluster(ClientError::Unreachable { .. }) => {
            note(format!("twm-ctl: {message}"));
            why
        }
        _ => CtlError::Failed(message),
    }
}

fn tell(output: Output, took: &[(NodeId, Duration)]) -> Result<(), CtlError> {
    if output.is_json() {
        let nodes = took.iter().map(|(node, time)| json!({ "node": node, "ms": time.as_millis() as u64 }));
        return output.json(&json!({ "restarted": nodes.collect::<Vec<_>>() }));
    }
    let rows = took.iter().map(|(node, time)| [node.to_string(), duration(*time)]);
    output.table(&columns(["RESTARTED", ">TOOK"], rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_roll_says_where_it_stands_and_how_to_go_on() {
        let message = stopped(CtlError::Failed("it is gone".into()), &[2, 3, 1], 1).to_string();
        for part in ["node 3: it is gone", "restarted before it: 2", "--only 3,1"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
