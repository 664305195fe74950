//! A dataset in a keyspace, for tools.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::super::provenance::BatchName;
use super::super::store::{Rewritable, Store, StoredBatches, StoredFile, StoredFiles};
use super::super::{DatasetError, FileKey, OutputState, Result};
use super::heads::Head;
use super::{CassandraStore, KeyspaceOutput};
use crate::env::Clock;

/// The files of a keyspace: the published ones, and those that were set aside.
#[derive(Clone)]
pub struct KeyspaceStore {
    store: CassandraStore,
    clock: Arc<dyn Clock>,
}

impl KeyspaceStore {
    /// The dataset in a keyspace.
    pub fn new(store: CassandraStore, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn changed(&self, name: &str) -> DatasetError {
        DatasetError::Changed { path: format!("{self}/{name}").into() }
    }

    /// The version that was read, if it is still there.
    fn head(&self, read: &StoredFile) -> Result<Head> {
        let heads = self.store.heads(&read.key)?;
        let found = heads.into_iter().find(|head| head.is_file() && head.version.to_string() == read.version);
        found.ok_or_else(|| self.changed(&read.name))
    }
}

impl Store for KeyspaceStore {
    fn files(&self) -> Result<StoredFiles<'_>> {
        Ok(Box::new(self.store.all_files().map(|found| {
            let (key, head) = found?;
            stored(key, &head)
        })))
    }

    fn lookup(&self, name: &str) -> Result<Option<StoredFile>> {
        let Some(named) = StoredFile::of_name(name, 0, String::new()) else { return Ok(None) };
        for head in self.store.heads(&named.key)? {
            let found = stored(named.key.clone(), &head)?;
            if head.is_file() && found.name == name {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn look(&self) -> Result<OutputState> {
        KeyspaceOutput::new(&self.store).look()
    }

    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>> {
        Ok(self.store.reader(&file.key, self.head(file)?))
    }

    fn batches(&self) -> Result<StoredBatches<'_>> {
        Ok(Box::new(self.store.all_batches()))
    }

    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>> {
        match self.store.batch(name)? {
            Some(bytes) => Ok(Box::new(std::io::Cursor::new(bytes))),
            None => Err(self.changed(&name.stored_name())),
        }
    }

    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
        if self.store.has_batch(name)? {
            return Ok(false);
        }
        self.store.put_batch(name, bytes)?;
        Ok(true)
    }

    fn create(&self, key: &FileKey, from: &Path) -> Result<bool> {
        self.store.create(key, from, &*self.clock)
    }
}

impl Rewritable for KeyspaceStore {
    fn replace(&self, read: &StoredFile, from: &Path) -> Result<()> {
        if self.store.replace_version(&read.key, &self.head(read)?, from, &*self.clock)? {
            return Ok(());
        }
        Err(self.changed(&read.name))
    }

    fn keep_aside(&self, read: &StoredFile, bytes: &Path) -> Result<String> {
        let mark = self.store.add_aside(&read.key, bytes, &*self.clock)?;
        Ok(format!("{}.{mark}", read.name))
    }

    fn remove(&self, read: &StoredFile) -> Result<()> {
        if self.store.remove_published(&read.key, &self.head(read)?, &*self.clock)? {
            return Ok(());
        }
        Err(self.changed(&read.name))
    }
}

impl fmt::Display for KeyspaceStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.store.place())
    }
}

fn stored(key: FileKey, head: &Head) -> Result<StoredFile> {
    let set_aside = !head.name.is_empty();
    let mut name = key.stored_name()?;
    if set_aside {
        name = format!("{name}.{}", head.name);
    }
    Ok(StoredFile { key, name, bytes: head.bytes, version: head.version.to_string(), set_aside })
}
