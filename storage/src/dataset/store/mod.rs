//! Datasets as tools see them: the stored files of a place, byte for byte.

mod copying;
mod folder;

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use copying::{CopyOutcome, Copying, fetch};
pub use folder::Folder;

use super::provenance::{BatchName, StoredBatch};
use super::{FileKey, OutputState, Result};

/// A file of a dataset, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// What it holds; of a file that was set aside, what it held.
    pub key: FileKey,
    /// Its name in the dataset, such as `22/22013880.twt`.
    pub name: String,
    /// Its size as stored, bytes.
    pub bytes: u64,
    /// Distinguishes it from other files with its name, earlier or later. Opaque to all but its place.
    pub version: String,
    /// Whether it is a file that was set aside as unreadable.
    pub set_aside: bool,
}

/// Stored files, in no particular order.
pub type StoredFiles<'a> = Box<dyn Iterator<Item = Result<StoredFile>> + Send + 'a>;

/// Batches of provenance, in no particular order.
pub type StoredBatches<'a> = Box<dyn Iterator<Item = Result<StoredBatch>> + Send + 'a>;

/// A place of a dataset. Prints as its URL or its path, without credentials. All calls block.
pub trait Store: fmt::Display + Send + Sync {
    /// Lists the files, without reading them: the published ones, and those that were set aside. Drafts and foreign
    /// files are skipped.
    ///
    /// # Errors
    /// The place cannot be listed.
    fn files(&self) -> Result<StoredFiles<'_>>;

    /// Looks a file up by its name.
    ///
    /// # Errors
    /// The place cannot be read.
    fn lookup(&self, name: &str) -> Result<Option<StoredFile>>;

    /// Looks a published file up.
    ///
    /// # Errors
    /// The place cannot be read.
    fn find(&self, key: &FileKey) -> Result<Option<StoredFile>> {
        self.lookup(&key.stored_name()?)
    }

    /// Examines whose output it is. Writes nothing.
    ///
    /// # Errors
    /// The place cannot be read, or its marker is damaged or of a newer program.
    fn look(&self) -> Result<OutputState>;

    /// Reads a file.
    ///
    /// # Errors
    /// It was replaced since it was found ([`DatasetError::Changed`](super::DatasetError::Changed)), or the place cannot
    /// be read.
    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>>;

    /// The path of a file that lies on this machine.
    fn local_path(&self, _file: &StoredFile) -> Option<PathBuf> {
        None
    }

    /// Publishes the bytes of a local file if the place has no file of this key; returns whether it had none. Durable on
    /// return.
    ///
    /// # Errors
    /// The local file cannot be read, or the place cannot be written.
    fn create(&self, key: &FileKey, from: &Path) -> Result<bool>;

    /// Lists the batches of provenance. There are none in a dataset of an earlier version.
    ///
    /// # Errors
    /// The place cannot be listed.
    fn batches(&self) -> Result<StoredBatches<'_>>;

    /// Reads a batch of provenance.
    ///
    /// # Errors
    /// It is not there ([`DatasetError::Changed`](super::DatasetError::Changed)), or the place cannot be read.
    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>>;

    /// Writes a batch of provenance if the place has none of this name; returns whether it had none. Durable on return.
    ///
    /// # Errors
    /// The place cannot be written.
    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool>;

    /// Whether files keep their bytes. If not, a file has the same items after it was copied, but another size.
    fn keeps_bytes(&self) -> bool {
        true
    }
}

/// A place whose files can be rewritten. Nothing that was not read is replaced.
pub trait Rewritable: Store {
    /// Publishes the bytes of a local file in place of one that was read.
    ///
    /// # Errors
    /// The file was replaced since it was read ([`DatasetError::Changed`](super::DatasetError::Changed)), or the place cannot
    /// be written.
    fn replace(&self, read: &StoredFile, from: &Path) -> Result<()>;

    /// Keeps the bytes of a published file, which are in `bytes`, under a name that marks it as unreadable; returns that
    /// name. The published file stays.
    ///
    /// # Errors
    /// The place cannot be written.
    fn keep_aside(&self, read: &StoredFile, bytes: &Path) -> Result<String>;

    /// Removes a published file that was read.
    ///
    /// # Errors
    /// The file was replaced since it was read ([`DatasetError::Changed`](super::DatasetError::Changed)), or the place cannot
    /// be written.
    fn remove(&self, read: &StoredFile) -> Result<()>;
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn files(&self) -> Result<StoredFiles<'_>> {
        (**self).files()
    }

    fn lookup(&self, name: &str) -> Result<Option<StoredFile>> {
        (**self).lookup(name)
    }

    fn find(&self, key: &FileKey) -> Result<Option<StoredFile>> {
        (**self).find(key)
    }

    fn look(&self) -> Result<OutputState> {
        (**self).look()
    }

    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>> {
        (**self).open(file)
    }

    fn local_path(&self, file: &StoredFile) -> Option<PathBuf> {
        (**self).local_path(file)
    }

    fn create(&self, key: &FileKey, from: &Path) -> Result<bool> {
        (**self).create(key, from)
    }

    fn batches(&self) -> Result<StoredBatches<'_>> {
        (**self).batches()
    }

    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>> {
        (**self).open_batch(name)
    }

    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
        (**self).create_batch(name, bytes)
    }

    fn keeps_bytes(&self) -> bool {
        (**self).keeps_bytes()
    }
}

impl StoredFile {
    /// The file with a name in a dataset; `None` if it is none of a dataset. Names of the original program are not
    /// recognized.
    pub fn of_name(name: &str, bytes: u64, version: String) -> Option<Self> {
        let (published, set_aside) = match FileKey::of_set_aside(Path::new(name)) {
            Some((_, published)) => (published.to_string_lossy().into_owned(), true),
            None => (name.to_owned(), false),
        };
        let key = FileKey::of_stored_name(&published)?;
        Some(Self { key, name: name.to_owned(), bytes, version, set_aside })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_holds_and_whether_it_was_set_aside() {
        for (name, key, set_aside) in [
            ("22/22013880.twt", "22013880.twt", false),
            ("22/22013880.fws.unreadable", "22013880.fws", true),
            ("22/22013880.fws.unreadable-3", "22013880.fws", true),
            ("bluesky/22/22013880.twt", "bluesky/22013880.twt", false),
            ("bluesky/22/22013880.twt.unreadable", "bluesky/22013880.twt", true),
        ] {
            let file = StoredFile::of_name(name, 7, "v".into()).unwrap();
            assert_eq!((file.key.to_string().as_str(), file.set_aside), (key, set_aside), "{name}");
        }
        for other in
            ["22013880.twt", "7/22013880.twt", ".drafts/0/7.twt.3", ".twm-output", "7/7.twt.3", "a/b/7/7.twt"]
        {
            assert_eq!(StoredFile::of_name(other, 7, String::new()), None, "{other}");
        }
    }
}
