//! The folder of an embedded index.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tantivy::directory::{Directory as _, INDEX_WRITER_LOCK, MmapDirectory};
use tantivy::schema::Schema;
use tantivy::{Index, TantivyError};

use super::{EmbeddedError, Result};

/// What makes a folder an index: the list of its segments.
const META: &str = "meta.json";
/// What tantivy writes before that.
const MANAGED: &str = ".managed.json";
/// Files that tantivy locks.
const LOCKS: [&str; 2] = [".tantivy-writer.lock", ".tantivy-meta.lock"];

/// Opens the index in a folder, or creates it; an existing one is deleted first if `recreate` is set.
pub(super) fn open(folder: &Path, schema: &Schema, recreate: bool) -> Result<Index> {
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let named = |source: TantivyError| EmbeddedError::Tantivy { folder: folder.to_owned(), source };
    let directory = MmapDirectory::open(folder).map_err(|error| named(error.into()))?;
    let there = folder.join(META).exists();
    if !there {
        refuse_foreign(folder)?;
    }
    if recreate || !there {
        // Held by any writer.
        let _lock = directory
            .acquire_lock(&INDEX_WRITER_LOCK)
            .map_err(|_| EmbeddedError::InUse { folder: folder.to_owned() })?;
        clear(folder).map_err(|source| failed(folder, source))?;
        return Index::create(directory.clone(), schema.clone(), Default::default()).map_err(named);
    }
    Index::open(directory).map_err(named)
}

/// A folder that is not an index must be empty, except for what an interrupted start leaves.
fn refuse_foreign(folder: &Path) -> Result<()> {
    if folder.join(MANAGED).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let name = entry.map_err(|source| failed(folder, source))?.file_name();
        if !LOCKS.iter().any(|lock| name == *lock) && name != "lost+found" {
            let found = name.to_string_lossy().into_owned();
            return Err(EmbeddedError::Foreign { folder: folder.to_owned(), found });
        }
    }
    Ok(())
}

/// Deletes an index: its list of segments first, so that an interruption leaves no index, and last what identifies it
/// as one.
fn clear(folder: &Path) -> io::Result<()> {
    remove(&folder.join(META))?;
    File::open(folder)?.sync_all()?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_file() && name != MANAGED && !LOCKS.iter().any(|lock| name == *lock) {
            remove(&entry.path())?;
        }
    }
    remove(&folder.join(MANAGED))?;
    File::open(folder)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(folder: &Path, source: io::Error) -> EmbeddedError {
    EmbeddedError::Folder { folder: folder.to_owned(), source }
}
