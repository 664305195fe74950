//! A dataset in a folder.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Store, StoredBatches, StoredFile, StoredFiles};
use crate::dataset::provenance::BatchName;
use crate::dataset::provenance_folder;
use crate::dataset::{DatasetError, FileKey, Marker, OutputState, Result, dataset_files};
use crate::durable::{self, Naming};

/// Suffix of a file that is being written.
const COPY: &str = ".copy";
/// Makes the names of such files unique.
static COPIES: AtomicU64 = AtomicU64::new(0);

/// A folder that has, or gets, the files of a dataset. Files of the original program are found under its names.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The dataset in a folder, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn stored(&self, key: FileKey, path: &Path) -> Result<StoredFile> {
        let bytes = fs::metadata(path).naming("look at", path)?.len();
        let name = path.strip_prefix(&self.0).unwrap_or(path).to_string_lossy().into_owned();
        Ok(StoredFile { key, name, bytes, version: String::new(), set_aside: false })
    }
}

impl Store for Folder {
    /// Only the published files.
    fn files(&self) -> Result<StoredFiles<'_>> {
        Ok(Box::new(dataset_files(&self.0)?.filter_map(|found| {
            let (key, path) = match found {
                Ok(found) => found,
                Err(error) => return Some(Err(error)),
            };
            // Of two names, that of the original program is an older file.
            let is_twin = path.extension().is_some_and(|end| end == "gz");
            if is_twin && path.with_extension("").exists() {
                return None;
            }
            Some(self.stored(key, &path))
        })))
    }

    fn lookup(&self, name: &str) -> Result<Option<StoredFile>> {
        let path = self.0.join(name);
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.naming("look at", &path)?,
        };
        StoredFile::of_name(name, 0, String::new()).map(|file| self.stored(file.key, &path)).transpose()
    }

    /// Under either name, ours first.
    fn find(&self, key: &FileKey) -> Result<Option<StoredFile>> {
        let name = key.stored_name()?;
        if let Some(found) = self.lookup(&name)? {
            return Ok(Some(found));
        }
        let twin = self.0.join(format!("{name}.gz"));
        if twin.is_file() { self.stored(key.clone(), &twin).map(Some) } else { Ok(None) }
    }

    fn look(&self) -> Result<OutputState> {
        Marker::look(&self.0)
    }

    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>> {
        let path = self.0.join(&file.name);
        Ok(Box::new(File::open(&path).naming("open", &path)?))
    }

    fn local_path(&self, file: &StoredFile) -> Option<PathBuf> {
        Some(self.0.join(&file.name))
    }

    fn batches(&self) -> Result<StoredBatches<'_>> {
        provenance_folder::list(&self.0)
    }

    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(provenance_folder::open(&self.0, name)?))
    }

    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
        provenance_folder::put(&self.0, name, &bytes)
    }

    fn create(&self, key: &FileKey, from: &Path) -> Result<bool> {
        let path = key.path_under(&self.0)?;
        if let Some(parent) = path.parent() {
            durable::create_shared_folder(parent)?;
        }
        let mut copy = path.clone().into_os_string();
        copy.push(format!(".{}-{}{COPY}", std::process::id(), COPIES.fetch_add(1, Ordering::Relaxed)));
        let copy = PathBuf::from(copy);
        let written = write(from, &copy).and_then(|()| {
            // Unlike a rename, a link replaces nothing.
            match fs::hard_link(&copy, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                other => Ok(other.naming("link", &path).map(|()| true)?),
            }
        });
        durable::remove_file(&copy)?;
        if written? {
            durable::sync_parent(&path)?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// Copies a local file, durable.
fn write(from: &Path, to: &Path) -> Result<()> {
    let mut source = File::open(from).naming("open", from)?;
    let mut out = File::create_new(to).naming(durable::CREATE, to)?;
    io::copy(&mut source, &mut out).map_err(|error| DatasetError::of_copy(error, to))?;
    out.flush().naming("write", to)?;
    Ok(out.sync_all().naming("sync", to)?)
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}
