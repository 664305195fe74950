//! `member list`.

use crate::ctl::render::{self, json};
use crate::ctl::{Cluster, CtlError, Output};

/// Lists the members.
pub async fn run(cluster: &Cluster, output: Output) -> Result<(), CtlError> {
    let status = cluster.status().await?;
    if output.is_json() {
        return output.json(&json::members(&status).into());
    }
    output.table(&render::members(&status))
}
