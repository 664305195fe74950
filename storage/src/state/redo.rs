//! The batch that a store is writing, on disk before any of it is in the database.
//!
//! sled's own batches are atomic, but while one is applied no other thread reads anything: with tens of
//! thousands of changes that took a third of a second, for which an operator's list of errors had to wait. Here a
//! batch first becomes a file; then its changes go into the database one by one, beside all readers, and the
//! database is synced; then the file is removed. Changes that a crash cut off are made again by the next
//! start: to make some of them twice does no harm.
//!
//! The file is a [snapshot](crate::snapshot) whose first entries are deletions. As it has its name only when it is
//! whole, one that cannot be read is damaged, and not merely cut off.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::generation::{Generation, SyncFile};
use super::{Entry, Result, StateError, WriteBatch};
use crate::durable;
use crate::planted::{Bug, planted};
use crate::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};

/// Changes that a database makes before it collects garbage, see [`collect_garbage`].
const STEP: usize = 1024;

/// What is in front of the changes.
#[derive(Serialize, Deserialize)]
struct Header {
    /// The database that the batch belongs to: another one has replaced all that was there.
    generation: u64,
    /// The first entries so many are deleted, their values are empty.
    deletions: u64,
}

/// Makes a batch's changes in a database, all or none; they are durable when this returns.
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

/// Makes the changes of a batch that a crash cut off.
pub(super) fn finish(root: &Path, generation: &Generation, sync_file: &SyncFile) -> Result<()> {
    let path = path(root);
    // A crash before the file was whole: nothing of the batch is in the database.
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

/// Puts changes into a database one by one, in their order.
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
/// sled reclaims memory by epochs (crossbeam-epoch), at reads and a few pieces at a time: many changes with few reads
/// between them leaked gigabytes.
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
