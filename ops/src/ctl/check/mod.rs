//! `check`: whether all replicas agree, and whether datasets contain what the state says.

mod dataset;
mod replicas;

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::output::note;
use super::render::columns;
use super::{Cluster, CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Check {
    /// Also read a dataset of the cluster, whole: a folder or a URL. Give all of them where nodes have outputs of their own.
    #[arg(long, value_name = "PLACE")]
    dataset: Vec<PathBuf>,
}

impl Check {
    /// Compares the replicas, then the datasets with the state; if anything is wrong, returns an error after
    /// printing everything.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let check = cluster.check_replicas().await?;
        let mut wrong = replicas::wrong(&check);
        if output.is_json() {
            output.json(&json!({ "index": check.index, "replicas": replicas::json(&check) }))?;
        } else {
            output.table(&columns(replicas::COLUMNS, replicas::rows(&check)))?;
        }
        if !self.dataset.is_empty() {
            // Read before the files: what is published in the meantime is not missing.
            let status = cluster.status().await?;
            let found = dataset::read(&self.dataset, &status, output)?;
            let (missing, notes) = found.compare(&status.crawls);
            notes.iter().for_each(note);
            wrong.extend(found.wrong);
            wrong.extend(missing);
        }
        if output.is_json() {
            output.json(&json!({ "wrong": wrong }))?;
        }
        if wrong.is_empty() { Ok(()) } else { Err(CtlError::Unhealthy(wrong.join("\ntwm-ctl: "))) }
    }
}
