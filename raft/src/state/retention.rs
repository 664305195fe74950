//! Retention and deletion of ended crawls.
//!
//! A crawl that has ended keeps its record, errors and gone accounts. Its seen-set and frontier are *put away* once a
//! checkpoint has all of them: they stay on disk and leave memory. If a retry of its errors reopens the crawl, they
//! are loaded again before the first discovery is applied (TWM-C2). Nothing changes them in between, so that every
//! replica loads what it has put away, whenever its checkpoints were.
//!
//! A deleted crawl leaves the state at once. Its records can number millions: a mark says that they have to leave the
//! store, and each checkpoint removes [`REMOVED_AT_ONCE`] of them until only the mark is left. Crawl ids are not
//! reused.

use std::collections::BTreeMap;

use storage::state::{StateStore, WriteBatch};

use crate::model::{CrawlChange, CrawlId, Refusal, Response};

use super::crawl::Crawl;
use super::outcomes::OutcomesError;
use super::persist::{Changes, LoadError, scan};
use super::{State, keys};

/// Most records of deleted crawls that one checkpoint removes.
const REMOVED_AT_ONCE: usize = 20_000;

/// A store smaller than this is not rewritten, bytes.
const WORTH_SHRINKING: u64 = 16 << 20;

/// A store is rewritten when it takes this many times the size of its contents.
const MOSTLY_FREE: u64 = 2;

/// Records of a crawl beside its own.
const OF_A_CRAWL: [u8; 7] =
    [keys::QUEUE, keys::PARKED, keys::FRONTIER, keys::SEEN_RUN, keys::SEEN_TEXT, keys::ERROR, keys::GONE];

/// Deleted crawls that have records in the store.
#[derive(Default)]
pub(super) struct Deleted {
    /// Whether their mark is on disk.
    marked: BTreeMap<CrawlId, bool>,
}

impl Deleted {
    pub(super) fn is_empty(&self) -> bool {
        self.marked.is_empty()
    }

    /// Marks the crawls on disk; returns all that have records to remove.
    pub(super) fn freeze(&mut self, changes: &mut Changes) -> Vec<CrawlId> {
        for (&id, on_disk) in self.marked.iter_mut().filter(|(_, on_disk)| !**on_disk) {
            *on_disk = true;
            changes.delete(keys::crawl(id));
            changes.put("mark of a deleted crawl", keys::deleted(id), Vec::new());
        }
        self.marked.keys().copied().collect()
    }

    /// A checkpoint was written: forgets the crawls whose marks it removed. They are removed in order.
    fn written(&mut self, store: &dyn StateStore) -> Result<(), LoadError> {
        if self.marked.is_empty() {
            return Ok(());
        }
        let first = match scan(store, keys::of_tag(keys::DELETED)).next() {
            Some(entry) => Some(deleted_in(&entry?.0)?),
            None => None,
        };
        self.marked.retain(|id, on_disk| !*on_disk || first.is_some_and(|first| *id >= first));
        Ok(())
    }

    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut deleted = Self::default();
        for entry in scan(store, keys::of_tag(keys::DELETED)) {
            deleted.marked.insert(deleted_in(&entry?.0)?, true);
        }
        Ok(deleted)
    }
}

fn deleted_in(key: &[u8]) -> Result<CrawlId, LoadError> {
    let id = keys::number_at(key, 1).ok_or_else(|| LoadError::damaged("mark of a deleted crawl", key))?;
    Ok(CrawlId(id))
}

/// Adds to a checkpoint the removal of deleted crawls' records, up to its limit; returns whether these are the last.
pub(super) fn remove(
    store: &dyn StateStore,
    deleted: &[CrawlId],
    batch: &mut WriteBatch,
) -> Result<bool, LoadError> {
    let mut left = REMOVED_AT_ONCE;
    for &id in deleted {
        for tag in OF_A_CRAWL {
            for entry in scan(store, keys::of_crawl(tag, id)) {
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
                batch.delete(entry?.0);
            }
        }
        batch.delete(keys::deleted(id));
    }
    Ok(!deleted.is_empty())
}

/// Rewrites the store if most of it is free after deletions. The database reuses free space but never returns it.
/// Commands continue meanwhile; checkpoints wait, as they do for a snapshot.
pub(super) fn shrink(store: &dyn StateStore) -> Result<(), LoadError> {
    let on_disk = store.size_on_disk()?;
    if on_disk < WORTH_SHRINKING {
        return Ok(());
    }
    let mut used = 0;
    for entry in store.scan(&[], None) {
        let (key, value) = entry?;
        used += (key.len() + value.len()) as u64;
    }
    if on_disk / MOSTLY_FREE > used {
        store.replace_all(&mut store.scan(&[], None))?;
    }
    Ok(())
}

impl State {
    /// Deletes an ended crawl. Deleting it again is not refused, because the first answer may have been lost.
    pub(super) fn delete_crawl(&mut self, id: CrawlId) -> Response {
        let Some(crawl) = self.crawls.get(id) else {
            let was_there = (1..=self.head.last_crawl).contains(&id.0);
            return if was_there { Response::Done } else { Response::Refused(Refusal::NoSuchCrawl(id)) };
        };
        if !crawl.has_ended() {
            let (phase, open) = (crawl.phase().name().to_owned(), crawl.jobs().counts().open);
            return Response::Refused(Refusal::NotEnded { crawl: id, phase, open });
        }
        self.emit_crawl(id, CrawlChange::Deleted);
        self.crawls.remove(id);
        self.spend.close_crawl(id);
        OF_A_CRAWL.into_iter().for_each(|tag| self.outcomes.forget(keys::of_crawl(tag, id)));
        self.deleted.marked.insert(id, false);
        Response::Done
    }

    /// The crawl that ended first, if that was at least `kept_ms` of cluster time before `now`.
    pub fn kept_long_enough(&self, kept_ms: u64, now: u64) -> Option<CrawlId> {
        let ended = self.crawls.iter().filter_map(|(id, crawl)| Some((crawl.ended_at()?, id)));
        let (at, id) = ended.min()?;
        (at.saturating_add(kept_ms) <= now).then_some(id)
    }

    /// Whether records of deleted crawls are left in the store.
    pub fn has_records_to_remove(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Removes from memory what the checkpoint just written has made removable.
    pub(super) fn put_away_ended(&mut self) -> impl Send + use<> {
        let freed: Vec<_> = self.crawls.values_mut().filter_map(Crawl::put_away).collect();
        if let Err(error) = self.deleted.written(&**self.outcomes.store()) {
            self.stop_for(OutcomesError::from(error));
        }
        freed
    }

    /// Loads the seen-set and the frontier of a reopened crawl; returns false if that failed, which stops the
    /// replica.
    pub(super) fn take_out(&mut self, id: CrawlId) -> bool {
        let Some(crawl) = self.crawls.get_mut(id) else {
            self.lost_crawl(id);
            return false;
        };
        match crawl.take_out(&**self.outcomes.store(), id) {
            Ok(()) => true,
            Err(error) => {
                self.stop_for(OutcomesError::from(error));
                false
            }
        }
    }
}

#[cfg(test)]
impl State {
    /// A crawl's seen-set and frontier, wherever they are.
    pub(super) fn seen_and_frontier(
        &self,
        id: CrawlId,
    ) -> (Vec<storage::ids::UserId>, Vec<storage::ids::UserId>) {
        let accounts = self.crawls.get(id).unwrap().accounts();
        accounts.seen_and_frontier(&**self.outcomes.store(), id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use storage::state::{Entries, Entry, MemoryStore, Result};

    use super::*;

    /// A store that says how much of the disk it takes, and counts how often it is rewritten.
    struct Fragmented {
        inner: MemoryStore,
        on_disk: u64,
        rewritten: AtomicU64,
    }

    impl StateStore for Fragmented {
        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
            self.inner.get(key)
        }
        fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries {
            self.inner.scan(start, end)
        }
        fn write(&self, batch: WriteBatch) -> Result<()> {
            self.inner.write(batch)
        }
        fn replace_all(&self, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<()> {
            self.rewritten.fetch_add(1, Ordering::Relaxed);
            self.inner.replace_all(entries)
        }
        fn size_on_disk(&self) -> Result<u64> {
            Ok(self.on_disk)
        }
    }

    #[test]
    fn the_removal_of_records_says_when_it_has_removed_the_last_ones_and_not_when_there_are_none() {
        let store = MemoryStore::new();
        let mut batch = WriteBatch::new();
        let most = REMOVED_AT_ONCE as u64;
        (0..most).for_each(|n| batch.put(keys::seen_text(CrawlId(1), &n.to_string()), b""));
        batch.put(keys::seen_text(CrawlId(2), "a"), b"");
        store.write(batch).unwrap();
        let removed = |deleted: &[CrawlId]| remove(&store, deleted, &mut WriteBatch::new()).unwrap();
        assert!(!removed(&[]));
        assert!(removed(&[CrawlId(1)]) && removed(&[CrawlId(2)]));
        assert!(!removed(&[CrawlId(1), CrawlId(2)]), "one is left");
    }

    #[test]
    fn a_store_is_rewritten_if_it_is_large_and_more_than_half_of_it_is_free() {
        // 300 records of 40,004 bytes.
        const USED: u64 = 300 * 40_004;
        for (on_disk, rewritten) in
            [(WORTH_SHRINKING - 1, 0), (2 * USED, 0), (2 * USED + 2, 1), (4 * USED, 1)]
        {
            let store = Fragmented { inner: MemoryStore::new(), on_disk, rewritten: AtomicU64::new(0) };
            let mut batch = WriteBatch::new();
            (0..300_u32).for_each(|n| batch.put(n.to_be_bytes(), vec![1; 40_000]));
            store.write(batch).unwrap();
            shrink(&store).unwrap();
            assert_eq!(store.rewritten.load(Ordering::Relaxed), rewritten, "{on_disk} bytes");
            assert_eq!(store.scan(&[], None).count(), 300);
        }
        for (on_disk, rewritten) in [(WORTH_SHRINKING - 1, 0), (WORTH_SHRINKING, 1)] {
            let store = Fragmented { inner: MemoryStore::new(), on_disk, rewritten: AtomicU64::new(0) };
            shrink(&store).unwrap();
            assert_eq!(store.rewritten.load(Ordering::Relaxed), rewritten, "{on_disk} bytes");
        }
    }
}
