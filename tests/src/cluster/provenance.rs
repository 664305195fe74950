//! The provenance in the datasets of a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Cluster, truth};

/// A publication as it is recorded: the file's name and its lease.
pub type Recorded = (String, u64);

impl Cluster {
    /// The records of a crawl, each publication once: of several, one that knows how far the file was crawled. Reads the batches
    /// itself and shares no code with their writers.
    ///
    /// # Errors
    /// A batch cannot be read, or has something else than records.
    pub fn records(&self, crawl: u64) -> anyhow::Result<BTreeMap<Recorded, Value>> {
        let mut records: BTreeMap<Recorded, Value> = BTreeMap::new();
        for output in self.outputs().into_iter().collect::<BTreeSet<_>>() {
            let folder = output.join(truth::PROVENANCE);
            if !folder.exists() {
                continue;
            }
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                for record in read(&path).with_context(|| format!("reading {}", path.display()))? {
                    let lease = record["lease"].as_u64().context("no lease")?;
                    let [account, kind] =
                        ["account", "kind"].map(|field| record[field].as_str().unwrap_or_default());
                    let name = (format!("{account}.{kind}"), lease);
                    let knows_more = !record["complete"].is_null();
                    if record["crawl"] == crawl && (knows_more || !records.contains_key(&name)) {
                        records.insert(name, record);
                    }
                }
            }
        }
        Ok(records)
    }

    /// Ensures that each of these files has a record of a crawl, and no other one has. All nodes must have stopped: then everything
    /// that they recorded is in the dataset.
    ///
    /// # Errors
    /// Records are missing, or others are there.
    pub fn is_recorded(
        &self,
        crawl: u64,
        files: &BTreeSet<String>,
    ) -> anyhow::Result<BTreeMap<Recorded, Value>> {
        let records = self.records(crawl)?;
        let recorded: BTreeSet<&String> = records.keys().map(|(name, _)| name).collect();
        let missing: Vec<_> = files.iter().filter(|file| !recorded.contains(file)).collect();
        ensure!(missing.is_empty(), "{} files are not recorded: {missing:?}", missing.len());
        let others: Vec<_> = recorded.iter().filter(|name| !files.contains(**name)).collect();
        ensure!(others.is_empty(), "what was not published is recorded: {others:?}");
        Ok(records)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Value>> {
    truth::read_lines(path)?.iter().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
