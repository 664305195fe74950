//! The output folder: who owns it, and as which storage the node writes to it.
//!
//! An output has a marker with its cluster and storage. A folder without one may be the mount point of a missing
//! volume: it is used only if nothing in it and nothing in the cluster's state indicates that the files are
//! elsewhere.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::TrackerApi;
use api::model::{Answer, NodeId, Query, StorageId};
use raft::server::Tracker;
use storage::dataset::{self, Dataset, DatasetError, FilesDataset, FilesOptions, Marker, OutputState};
use storage::env::Backoff;

use super::assembly::World;
#[cfg(feature = "s3")]
use super::bucket::BucketPlace;
#[cfg(feature = "hdfs")]
use super::hdfs::HdfsPlace;
#[cfg(feature = "cassandra")]
use super::keyspace::KeyspacePlace;
use crate::settings::{OutputPlace, Settings};

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

/// First and longest pause before a store is asked again that did not answer.
const STORE_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// An output, wherever it is. All calls block.
pub(super) trait Place: Send + Sync {
    /// For messages.
    fn path(&self) -> PathBuf;

    /// Examines it; writes nothing.
    fn look(&self) -> dataset::Result<OutputState>;

    /// Marks it if it has no marker, and returns the effective one.
    fn claim(&self, marker: Marker) -> dataset::Result<Marker>;

    /// Takes it over from its owner.
    fn replace(&self, marker: Marker) -> dataset::Result<Marker>;

    /// Passes it on to the cluster that continues its owner's.
    fn pass_on(&self, marker: Marker) -> dataset::Result<()>;

    /// Opens the dataset in it.
    fn open(&self, settings: &Settings, marker: Marker) -> anyhow::Result<Arc<dyn Dataset>>;
}

/// A folder.
struct Folder {
    output: PathBuf,
    temporary: PathBuf,
}

impl Place for Folder {
    fn path(&self) -> PathBuf {
        self.output.clone()
    }

    fn look(&self) -> dataset::Result<OutputState> {
        Marker::look(&self.output)
    }

    fn claim(&self, marker: Marker) -> dataset::Result<Marker> {
        marker.claim(&self.output)
    }

    fn replace(&self, marker: Marker) -> dataset::Result<Marker> {
        marker.replace(&self.output, &self.temporary)
    }

    fn pass_on(&self, marker: Marker) -> dataset::Result<()> {
        marker.put(&self.output)
    }

    fn open(&self, settings: &Settings, marker: Marker) -> anyhow::Result<Arc<dyn Dataset>> {
        let options = FilesOptions {
            temporary: settings.temporary_dir.clone(),
            compression: settings.compression,
            followers: settings.followers_format,
            owner: Some(marker),
            ..FilesOptions::new(&self.output)
        };
        Ok(Arc::new(FilesDataset::open(options)?))
    }
}

/// The place of the settings. A store is asked whether it can be used; blocks.
pub(super) fn place(settings: &Settings, world: &World) -> anyhow::Result<Arc<dyn Place>> {
    // Only stores need it.
    let _ = world;
    match &settings.output {
        OutputPlace::Folder(output) => {
            let temporary = settings.temporary_dir.clone().unwrap_or_else(|| output.join(".tmp"));
            Ok(Arc::new(Folder { output: output.clone(), temporary }))
        }
        #[cfg(feature = "hdfs")]
        OutputPlace::Hdfs(url) => Ok(Arc::new(HdfsPlace::connect(url, world)?)),
        #[cfg(feature = "s3")]
        OutputPlace::Bucket(url) => Ok(Arc::new(BucketPlace::connect(url, settings, world)?)),
        #[cfg(feature = "cassandra")]
        OutputPlace::Keyspace(url) => Ok(Arc::new(KeyspacePlace::connect(url, settings, world)?)),
    }
}

/// The local folder of a node for the drafts and downloads of a store.
#[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
pub(super) fn spool(settings: &Settings, marker: &Marker) -> PathBuf {
    match &settings.temporary_dir {
        // Nodes of one machine may have one setting.
        Some(folder) => folder.join(format!("drafts-{:032x}-{}", marker.cluster, settings.id)),
        None => settings.data_dir.join("drafts"),
    }
}

/// Whether a store did not answer, so that it is worth asking again.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<DatasetError>() {
        Some(error) => error.is_temporary(),
        None => false,
    })
}

/// The cluster that owns an output, for messages; absent if it is to be adopted, or not known now.
pub(super) async fn owner(settings: &Settings, world: &World) -> anyhow::Result<Option<String>> {
    let (settings, adopt, world) = (settings.clone(), settings.adopt_output, world.clone());
    let looked = blocking(move || Ok(place(&settings, &world)?.look()?)).await;
    match looked {
        Ok(OutputState::Marked(marker)) if !adopt => Ok(Some(format!("{:032x}", marker.cluster))),
        Ok(_) => Ok(None),
        // An operator may explicitly replace a damaged marker.
        Err(error) if adopt && is_damaged(&error) => Ok(None),
        // The node can do its part for the cluster meanwhile; it crawls once the store answers.
        Err(error) if is_away(&error) => {
            tracing::warn!("{error:#}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_damaged(error: &anyhow::Error) -> bool {
    let damaged = |cause: &DatasetError| matches!(cause, DatasetError::BadMarker { .. });
    error.chain().any(|cause| cause.downcast_ref().is_some_and(damaged))
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("looking at the output broke off")?
}

/// Ensures that the output belongs to the cluster and to this node, and opens it. If the output is empty, asks the cluster
/// and waits for its answer; waits for a store that is away.
pub(super) async fn settle(settings: &Settings, world: &World, tracker: &Tracker) -> anyhow::Result<Output> {
    let mut backoff = Backoff::new(STORE_PAUSE.0, STORE_PAUSE.1);
    loop {
        match try_settle(settings, world, tracker).await {
            Err(error) if is_away(&error) => {
                let wait = backoff.next(&*world.entropy);
                tracing::warn!(retry_in = ?wait, "this node does not crawl yet: {error:#}");
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
}

async fn try_settle(settings: &Settings, world: &World, tracker: &Tracker) -> anyhow::Result<Output> {
    let (cluster, adopt) = (tracker.cluster_id(), settings.adopt_output);
    let new = Marker { cluster: cluster.0, storage: world.entropy.next_u64(), epoch: 0 };
    let (copy, own) = (settings.clone(), world.clone());
    let place = blocking(move || place(&copy, &own)).await?;
    let looked = place.clone();
    let found = match blocking(move || Ok(looked.look()?)).await {
        Err(error) if adopt && is_damaged(&error) => {
            tracing::warn!("{error:#}");
            OutputState::Unmarked
        }
        other => other?,
    };
    let output = place.path();
    let marked = |work: fn(&dyn Place, Marker) -> dataset::Result<Marker>| {
        let place = place.clone();
        blocking(move || Ok(work(&*place, new)?))
    };
    let marker = match found {
        OutputState::Marked(marker) if marker.cluster == cluster.0 => marker,
        OutputState::Marked(_) | OutputState::Unmarked if adopt => {
            marked(|place, new| place.replace(new)).await?
        }
        OutputState::Marked(marker) => {
            let (found, own) = (format!("{:032x}", marker.cluster), cluster.to_string());
            return Err(OutputError::Foreign { output, found, own }.into());
        }
        OutputState::Unmarked => return Err(OutputError::Unmarked { output }.into()),
        OutputState::Empty if adopt => marked(|place, new| place.claim(new)).await?,
        OutputState::Empty => {
            let storages = ask(tracker).await?;
            // Another node may have claimed a shared output meanwhile.
            let again = place.clone();
            match blocking(move || Ok(again.look()?)).await? {
                OutputState::Marked(marker) if marker.cluster == cluster.0 => marker,
                _ => match elsewhere(&storages, settings) {
                    Some(known) => {
                        let known = format!("{:016x}", known.0);
                        return Err(OutputError::NotMounted { output, known }.into());
                    }
                    None => marked(|place, new| place.claim(new)).await?,
                },
            }
        }
    };
    let settings = settings.clone();
    let dataset = blocking(move || place.open(&settings, marker)).await?;
    Ok(Output { storage: StorageId(marker.storage), dataset, epoch: marker.epoch })
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
    /// How often it was taken over.
    pub(super) epoch: u64,
}
