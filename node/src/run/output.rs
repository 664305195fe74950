//! The output folder: who owns it, and as which storage the node writes to it.
//!
//! An output has a marker with its cluster and storage. A folder without one may be the mount point of a missing
//! volume: it is used only if nothing in it and nothing in the cluster's state indicates that the files are
//! elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::model::{Answer, NodeId, Query, StorageId};
use raft::server::Tracker;
use storage::dataset::{Dataset, FilesDataset, FilesOptions, Marker, OutputState};
use storage::env::Entropy;

use crate::settings::Settings;

/// Pause between two queries to a cluster that does not answer.
const ASK_PAUSE: Duration = Duration::from_millis(500);

/// Why an output cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    #[error(
        "the output {} belongs to cluster {found}, and this node is of cluster {own}: another volume may be mounted. Mount the \
         right one; or start with --adopt-output, to make this output and its files the cluster's",
        output.display()
    )]
    Foreign { output: PathBuf, found: String, own: String },
    #[error(
        "the output {} is not empty and has no marker that says whose it is. Is it the right folder? Start with \
         --adopt-output to make it and its files this cluster's",
        output.display()
    )]
    Unmarked { output: PathBuf },
    #[error(
        "the output {} is empty, but this node has its files in storage {known}: the volume may not be mounted. Mount it; or, \
         if its files are lost, start with --adopt-output to begin with an empty output",
        output.display()
    )]
    NotMounted { output: PathBuf, known: String },
}

/// The cluster that owns an output, for messages; absent if it is to be adopted.
pub(super) fn owner(settings: &Settings) -> anyhow::Result<Option<String>> {
    match Marker::look(&settings.output) {
        Ok(OutputState::Marked(marker)) if !settings.adopt_output => {
            Ok(Some(format!("{:032x}", marker.cluster)))
        }
        Ok(_) => Ok(None),
        // An operator may explicitly replace a damaged marker.
        Err(_) if settings.adopt_output => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Ensures that the output belongs to the cluster and to this node. If the output is empty, asks the cluster and
/// waits for its answer.
pub(super) async fn settle(
    settings: &Settings,
    entropy: &dyn Entropy,
    tracker: &Tracker,
) -> anyhow::Result<Marker> {
    let (output, cluster) = (&settings.output, tracker.cluster_id());
    let new = Marker { cluster: cluster.0, storage: entropy.next_u64() };
    let temporary = settings.temporary_dir.clone().unwrap_or_else(|| output.join(".tmp"));
    let found = match Marker::look(output) {
        Err(error) if settings.adopt_output => {
            tracing::warn!("{error}");
            OutputState::Unmarked
        }
        other => other?,
    };
    match found {
        OutputState::Marked(marker) if marker.cluster == cluster.0 => Ok(marker),
        OutputState::Marked(_) | OutputState::Unmarked if settings.adopt_output => {
            Ok(new.replace(output, &temporary)?)
        }
        OutputState::Marked(marker) => Err(OutputError::Foreign {
            output: output.clone(),
            found: format!("{:032x}", marker.cluster),
            own: cluster.to_string(),
        }
        .into()),
        OutputState::Unmarked => Err(OutputError::Unmarked { output: output.clone() }.into()),
        OutputState::Empty if settings.adopt_output => Ok(new.claim(output)?),
        OutputState::Empty => {
            let storages = ask(tracker).await?;
            // Another node may have claimed a shared folder meanwhile.
            if let Some(marker) = Marker::read(output)?.filter(|marker| marker.cluster == cluster.0) {
                return Ok(marker);
            }
            match elsewhere(&storages, settings) {
                Some(known) => {
                    let known = format!("{:016x}", known.0);
                    Err(OutputError::NotMounted { output: output.clone(), known }.into())
                }
                None => Ok(new.claim(output)?),
            }
        }
    }
}

/// Where the files are that should be in an empty output.
fn elsewhere(storages: &BTreeMap<NodeId, StorageId>, settings: &Settings) -> Option<StorageId> {
    let of_others = || storages.values().next().filter(|_| settings.shared_output);
    storages.get(&settings.id).or_else(of_others).copied()
}

/// The storage of each node. Waits until the cluster has a leader.
async fn ask(tracker: &Tracker) -> anyhow::Result<BTreeMap<NodeId, StorageId>> {
    loop {
        match tracker.query(Query::Storages).await {
            Ok(Answer::Storages(storages)) => return Ok(storages),
            Ok(other) => anyhow::bail!("the cluster answered a question for storages with {other:?}"),
            Err(error) => {
                tracing::warn!("cannot ask the cluster whether this node has files elsewhere: {error}");
                tokio::time::sleep(ASK_PAUSE).await;
            }
        }
    }
}

/// An output that belongs to this node.
pub(super) struct Output {
    pub(super) storage: StorageId,
    pub(super) dataset: Arc<dyn Dataset>,
}

impl Output {
    /// Opens the dataset in an output with this marker.
    pub(super) fn open(settings: &Settings, marker: Marker) -> anyhow::Result<Self> {
        let options = FilesOptions {
            temporary: settings.temporary_dir.clone(),
            compression: settings.compression,
            followers: settings.followers_format,
            owner: Some(marker),
            ..FilesOptions::new(&settings.output)
        };
        Ok(Self { storage: StorageId(marker.storage), dataset: Arc::new(FilesDataset::open(options)?) })
    }
}
