//! `workers`.

use api::documents;
use serde_json::json;

use super::render::{self, json as view};
use super::{Cluster, CtlError, Output};

/// Shows each node's workers and session.
pub async fn run(cluster: &Cluster, output: Output) -> Result<(), CtlError> {
    let status = cluster.status().await?;
    if !output.is_json() {
        return output.table(&render::workers(&status));
    }
    let sessions: Vec<_> = status.sessions.iter().map(documents::session).collect();
    output.json(&json!({ "nodes": view::members(&status), "sessions": sessions }))
}
