//! `source list` and `source check`.

use api::model::{Reached, SourceStatus};
use serde_json::{Value, json};

use super::silent;
use crate::ctl::cluster::NodeSources;
use crate::ctl::render::{columns, printable};
use crate::ctl::{Cluster, CtlError, Output};

/// Shows the sources of each node. A source that was checked and not reached, and a node that does not answer, are
/// failures.
pub async fn run(cluster: &Cluster, output: Output, check: bool) -> Result<(), CtlError> {
    let nodes = cluster.sources(check).await?;
    match output.is_json() {
        true => output.json(&json!({ "nodes": nodes.iter().map(document).collect::<Vec<_>>() }))?,
        false => output
            .table(&columns(["NODE", "SOURCE", "KIND", "PLACE", "STATE"], nodes.iter().flat_map(rows)))?,
    }
    let wrong: usize = nodes.iter().map(wrong).sum();
    match check && wrong > 0 {
        true => Err(CtlError::Unhealthy(format!(
            "{wrong} of the sources and hosts were not reached, or cannot be crawled"
        ))),
        false => Ok(()),
    }
}

fn rows(node: &NodeSources) -> Vec<[String; 5]> {
    let id = node.node.to_string();
    match &node.sources {
        Ok(sources) => sources
            .iter()
            .map(|source| {
                let name = source.name.to_string();
                [id.clone(), name, printable(&source.kind), printable(&source.place), state(source)]
            })
            .collect(),
        Err(error) => vec![[id, "-".to_owned(), "-".to_owned(), "-".to_owned(), silent(error)]],
    }
}

fn state(source: &SourceStatus) -> String {
    match (&source.reached, &source.trouble) {
        (Some(Reached::After(ms)), _) => format!("answers after {ms} ms"),
        (Some(Reached::Failed(what)), _) | (None, Some(what)) => printable(what),
        (None, None) => "no trouble".to_owned(),
    }
}

fn document(node: &NodeSources) -> Value {
    let sources = match &node.sources {
        Ok(sources) => sources,
        Err(error) => return json!({ "node": node.node, "error": error.to_string() }),
    };
    let source = |source: &SourceStatus| {
        let (answered_ms, error) = match &source.reached {
            Some(Reached::After(ms)) => (Some(ms), None),
            Some(Reached::Failed(what)) => (None, Some(what)),
            None => (None, None),
        };
        json!({
            "name": source.name.to_string(),
            "kind": source.kind,
            "place": source.place,
            "trouble": source.trouble,
            "answered_ms": answered_ms,
            "error": error,
        })
    };
    json!({ "node": node.node, "sources": sources.iter().map(source).collect::<Vec<_>>() })
}

fn wrong(node: &NodeSources) -> usize {
    let failed = |source: &&SourceStatus| matches!(source.reached, Some(Reached::Failed(_)));
    node.sources.as_ref().map_or(1, |sources| sources.iter().filter(failed).count())
}
