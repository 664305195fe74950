//! A state store in memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Entries, Entry, Result, StateStore, WriteBatch, check_sizes};

/// Entries that a scan copies each time it takes the lock.
const SCAN_STEP: usize = 256;

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A map in memory behind [`StateStore`], for tests and simulation. Clones share it, so that a
/// simulated node finds its state again after a simulated crash.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    map: Arc<RwLock<Map>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    // The map is consistent between any two statements that hold the lock, so a panic elsewhere does no harm.
    fn read(&self) -> RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn edit(&self) -> RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.read().get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries {
        let scan = Scan {
            store: self.clone(),
            from: Bound::Included(start.to_vec()),
            end: end.map(<[u8]>::to_vec),
            read: Vec::new().into_iter(),
        };
        Box::new(scan.map(Ok))
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        batch.check_sizes()?;
        let mut map = self.edit();
        for (key, value) in batch.into_changes() {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
        Ok(())
    }

    fn replace_all(&self, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<()> {
        let mut map = Map::new();
        for entry in entries {
            let (key, value) = entry?;
            check_sizes(&key, &value)?;
            map.insert(key, value);
        }
        *self.edit() = map;
        Ok(())
    }

    fn size_on_disk(&self) -> Result<u64> {
        Ok(self.read().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

/// A scan that takes the lock for a few entries at a time, as a scan of a disk would.
struct Scan {
    store: MemoryStore,
    from: Bound<Vec<u8>>,
    end: Option<Vec<u8>>,
    read: std::vec::IntoIter<Entry>,
}

impl Iterator for Scan {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.read.as_slice().is_empty() {
            let map = self.store.read();
            let before_end = |key: &[u8]| self.end.as_deref().is_none_or(|end| key < end);
            let entries =
                map.range((self.from.clone(), Bound::Unbounded)).take_while(|(key, _)| before_end(key));
            let step: Vec<Entry> =
                entries.take(SCAN_STEP).map(|(key, value)| (key.clone(), value.clone())).collect();
            self.from = Bound::Excluded(step.last()?.0.clone());
            self.read = step.into_iter();
        }
        self.read.next()
    }
}
