//! Batches of provenance in a folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::provenance::{BatchName, FOLDER, StoredBatch};
use super::store::StoredBatches;
use super::{DatasetError, Result};
use crate::durable::{self, Naming};

/// Suffix of a batch that is being written.
const PART: &str = ".part";
/// Makes the names of such files unique.
static PARTS: AtomicU64 = AtomicU64::new(0);

/// Writes a batch that is not there yet; returns whether it did. Durable on return; the name appears with the contents.
pub(super) fn put(output: &Path, name: &BatchName, bytes: &[u8]) -> Result<bool> {
    let path = path(output, name);
    if path.try_exists().naming("look for", &path)? {
        // A crash may have come between its name and what makes that durable.
        durable::sync_parent(&path)?;
        return Ok(false);
    }
    durable::create_shared_folder(&output.join(FOLDER))?;
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let part = path.with_file_name(format!("{name}.{}-{number}{PART}", std::process::id()));
    let written = write(&part, bytes).and_then(|()| {
        // Unlike a rename, a link replaces nothing.
        match fs::hard_link(&part, &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => Ok(other.naming("link", &path).map(|()| true)?),
        }
    });
    durable::remove_file(&part)?;
    let written = written?;
    durable::sync_parent(&path)?;
    Ok(written)
}

/// The batches of the dataset in a folder, in the order of their names.
pub(super) fn list(output: &Path) -> Result<StoredBatches<'static>> {
    let folder = output.join(FOLDER);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Box::new(std::iter::empty())),
        other => other.naming("list", &folder)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.naming("list", &folder)?.file_name();
        names.extend(name.to_str().and_then(BatchName::of_file_name));
    }
    names.sort();
    let output = output.to_owned();
    Ok(Box::new(names.into_iter().map(move |name| {
        let path = path(&output, &name);
        let bytes = fs::metadata(&path).naming("look at", &path)?.len();
        Ok(StoredBatch { name, bytes })
    })))
}

/// Opens a batch.
pub(super) fn open(output: &Path, name: &BatchName) -> Result<File> {
    let path = path(output, name);
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DatasetError::Changed { path }),
        other => Ok(other.naming("open", &path)?),
    }
}

fn path(output: &Path, name: &BatchName) -> PathBuf {
    output.join(name.stored_name())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    Ok(write().naming("write", path)?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_batch_appears_whole_and_is_never_replaced() {
        let output = tempfile::tempdir().unwrap();
        let output = output.path();
        assert_eq!(list(output).unwrap().count(), 0);
        let names = [10, 9].map(|number| BatchName { node: 1, spool: 5, number });
        for name in &names {
            assert!(put(output, name, b"one").unwrap());
            assert!(!put(output, name, b"another").unwrap());
        }
        // What a killed process leaves behind.
        fs::write(output.join(FOLDER).join(format!("{}.7-0.part", names[0])), "o").unwrap();
        let found: Vec<StoredBatch> = list(output).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.iter().map(|found| found.name.number).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(found[0].bytes, 3);
        let mut text = String::new();
        open(output, &names[0]).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "one");
        let missing = open(output, &BatchName { node: 2, ..names[0] }).unwrap_err();
        assert!(matches!(missing, DatasetError::Changed { .. }), "{missing}");
    }
}
