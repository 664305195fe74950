//! The redo file: the batch that a store is writing, on disk before any of it is in the database.
//!
//! sled's own batches are atomic, but block all readers while they are applied: with tens of thousands of changes
//! that took a third of a second, during which an operator's list of errors had to wait. Here, a batch is first
//! written to a file; then its changes go into the database one by one, concurrently with readers, and the database
//! is synced; then the file is removed. The next start repeats changes that a crash interrupted; repeating some of
//! them does no harm.
//!
//! The file is a [snapshot](crate::snapshot) whose first entries are deletions. As it gets its name only when it is
//! complete, an unreadable one is damaged, and not merely truncated.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generation::{Generation, SyncFile};
use super::{Entry, Result, StateError, WriteBatch};
use crate::durable;
use crate::planted::{Bug, planted};
use crate::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};

/// Changes applied to a database before garbage is collected, see [`collect_garbage`].
const STEP: usize = 1024;

/// The header of the file.
#[derive(Serialize, Deserialize)]
struct Header {
    /// The database that the batch belongs to: a newer one has replaced everything.
    generation: u64,
    /// Number of deletions, which come first and have empty values.
    deletions: u64,
}

/// Applies a batch to a database, all or none; durable on return.
pub(super) fn write(
    root: &Path,
    generation: &Generation,
    batch: WriteBatch,
    sync_file: &SyncFile,
) -> Result<()> {
    record(root, generation.number, &batch)?;
    insert(generation, &mut batch.into_changes().into_iter().map(Ok))?;
    generation.sync(sync_file)?;
    forget(root)
}

/// Applies a batch that a crash interrupted.
pub(super) fn finish(root: &Path, generation: &Generation, sync_file: &SyncFile) -> Result<()> {
    let path = path(root);
    // A crash before the file was complete: nothing of the batch is in the database.
    durable::remove_file(&path.with_extension("new"))?;
    if !path.exists() {
        return Ok(());
    }
    let mut reader = SnapshotReader::open(&path).map_err(failed)?;
    let header: Header = postcard::from_bytes(reader.header()).map_err(|_| StateError::DamagedRedo {
        path: path.clone(),
        at: 0,
        why: "the header of another program",
    })?;
    if header.generation == generation.number {
        let mut left = header.deletions;
        let most = if planted(Bug::HalfRedo) { header.deletions / 2 + 1 } else { u64::MAX };
        let changes = std::iter::from_fn(|| {
            let deleted = left > 0;
            left = left.saturating_sub(1);
            let change = |(key, value): Entry| (key, (!deleted).then_some(value));
            reader.next().map(|entry| entry.map(change).map_err(failed))
        });
        insert(generation, &mut { changes }.take(most.try_into().unwrap_or(usize::MAX)))?;
        generation.sync(sync_file)?;
    }
    forget(root)
}

/// Applies changes to a database one by one, in order.
pub(super) fn insert(
    generation: &Generation,
    changes: &mut dyn Iterator<Item = Result<(Vec<u8>, Option<Vec<u8>>)>>,
) -> Result<()> {
    for (count, change) in (1usize..).zip(changes) {
        let changed = match change? {
            (key, Some(value)) => generation.db.insert(key, value),
            (key, None) => generation.db.remove(key),
        };
        changed.map_err(|source| generation.failed(source))?;
        if count % STEP == 0 {
            collect_garbage();
        }
    }
    collect_garbage();
    Ok(())
}

/// Frees what sled dropped in up to [`STEP`] changes.
///
/// sled reclaims memory by epochs (crossbeam-epoch), during reads and in small portions: many changes with few reads
/// in between leaked gigabytes.
fn collect_garbage() {
    for _ in 0..8 {
        crossbeam_epoch::pin().flush();
    }
}

/// Writes a batch to its file.
pub(super) fn record(root: &Path, generation: u64, batch: &WriteBatch) -> Result<()> {
    let deleted: Vec<&[u8]> =
        batch.iter().filter_map(|(key, value)| value.is_none().then_some(key)).collect();
    let header = Header { generation, deletions: deleted.len() as u64 };
    let header = postcard::to_stdvec(&header).map_err(|error| StateError::Source(Box::new(error)))?;
    let mut file = SnapshotWriter::create(&path(root), &header).map_err(failed)?;
    for key in deleted {
        file.put(key, &[]).map_err(failed)?;
    }
    for (key, value) in batch.iter() {
        if let Some(value) = value {
            file.put(key, value).map_err(failed)?;
        }
    }
    file.finish().map_err(failed)?;
    Ok(())
}

fn forget(root: &Path) -> Result<()> {
    durable::remove_file(&path(root))?;
    Ok(())
}

fn path(root: &Path) -> PathBuf {
    root.join("REDO")
}

fn failed(error: SnapshotError) -> StateError {
    match error {
        SnapshotError::File(error) => error.into(),
        SnapshotError::Damaged { path, at, why } => StateError::DamagedRedo { path, at, why },
        other => other.into(),
    }
}
