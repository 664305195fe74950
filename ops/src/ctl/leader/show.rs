//! `leader show`.

use serde_json::json;

use crate::ctl::render::{columns, printable};
use crate::ctl::{Cluster, CtlError, Output};

/// Shows who leads.
pub async fn run(cluster: &Cluster, output: Output) -> Result<(), CtlError> {
    let status = cluster.status().await?;
    let address = status.nodes.iter().find(|m| m.id == status.leader).map(|m| m.address.as_str());
    if output.is_json() {
        return output.json(&json!({ "leader": status.leader, "address": address, "term": status.term }));
    }
    let row = [status.leader.to_string(), address.map_or("-".to_owned(), printable), status.term.to_string()];
    output.table(&columns(["LEADER", "ADDRESS", ">TERM"], [row]))
}
