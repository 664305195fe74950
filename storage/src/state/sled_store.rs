//! The state store on sled 0.34.

use std::fmt;
use std::fs::File;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::generation::{self, Generation, SyncFile};
use super::redo;
use super::{Entries, Entry, Result, StateError, StateStore, WriteBatch, check_sizes};

/// An ordered map on disk, in a folder of its own.
///
/// sled is used for its strength here, a sorted map with cheap sequential loads; durability is ours: see
/// [`StateStore::write`], and the module's documentation for the layout on disk.
pub struct SledStore {
    root: PathBuf,
    current: RwLock<Arc<Generation>>,
    /// Held during a change of the store.
    writer: Mutex<()>,
    /// The first failure. After a failed sync the system may have dropped the unwritten pages and report the
    /// next sync as successful, so nothing is ever retried.
    failed: OnceLock<String>,
    sync_file: SyncFile,
}

impl SledStore {
    /// Opens the store in `root`, creating folder and store if necessary.
    ///
    /// # Errors
    /// A folder that another process has open, is damaged, or was written by a newer program.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with(root, Box::new(File::sync_data))
    }

    fn open_with(root: &Path, sync_file: SyncFile) -> Result<Self> {
        let number = generation::find_current(root)?;
        let generation = Generation::open(root, number)?;
        redo::finish(root, &generation, &sync_file)?;
        let current = RwLock::new(Arc::new(generation));
        let root = root.to_owned();
        Ok(Self { root, current, writer: Mutex::new(()), failed: OnceLock::new(), sync_file })
    }

    fn current(&self) -> Result<Arc<Generation>> {
        match self.failed.get() {
            Some(why) => Err(StateError::Poisoned { path: self.root.clone(), why: why.clone() }),
            None => Ok(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))),
        }
    }

    fn poison<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.failed.get_or_init(|| error.to_string());
        }
        result
    }

    /// Fills a new generation. Nothing refers to it yet, so it need not be atomic.
    fn load(&self, number: u64, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<Generation> {
        let new = Generation::open(&self.root, number)?;
        let mut puts = entries.map(|entry| {
            let (key, value) = entry?;
            check_sizes(&key, &value)?;
            Ok((key, Some(value)))
        });
        redo::insert(&new, &mut puts)?;
        new.sync(&self.sync_file)?;
        new.sync_names()?;
        Ok(new)
    }
}

impl StateStore for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let current = self.current()?;
        let value = current.db.get(key).map_err(|source| current.failed(source))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries {
        let current = match self.current() {
            Ok(current) => current,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = current.db.range::<&[u8], _>((Bound::Included(start), end));
        Box::new(entries.map(move |entry| match entry {
            Ok((key, value)) => Ok((key.to_vec(), value.to_vec())),
            Err(source) => Err(current.failed(source)),
        }))
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        batch.check_sizes()?;
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current()?;
        self.poison(redo::write(&self.root, &current, batch, &self.sync_file))
    }

    fn replace_all(&self, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<()> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current()?;
        let number = old.number + 1;
        // What a failed replacement may have left.
        generation::remove(&self.root, number)?;
        let new = Arc::new(self.load(number, entries)?);

        // From here on, a failure leaves open which generation the next start takes.
        self.poison(generation::point_to(&self.root, number))?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        let old_number = old.number;
        drop(old);
        generation::remove(&self.root, old_number)
    }

    fn size_on_disk(&self) -> Result<u64> {
        let current = self.current()?;
        current.db.size_on_disk().map_err(|source| current.failed(source))
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("root", &self.root).field("failed", &self.failed).finish()
    }
}

#[cfg(test)]
#[path = "sled_store_tests.rs"]
mod tests;
