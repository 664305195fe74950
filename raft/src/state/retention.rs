//! What is kept of a crawl that has ended, and how it is deleted.
//!
//! A crawl that has ended keeps its record, errors and gone accounts. Its seen-set and frontier are *put away* once
//! a checkpoint has all of them: they stay on disk and leave memory. Should a retry of its errors reopen it, they are
//! read again before the first discovery is applied (TWM-C2). Between the two nothing changes them, so that what is
//! read is what was put away, on every replica, whenever its checkpoints were.
//!
//! A deleted crawl is gone from the state at once. Its records can be millions: a mark says that they have to leave the
//! store, and each checkpoint removes [`REMOVED_AT_ONCE`] of them until the mark is the last. Crawl ids are not used again.

use std::collections::BTreeMap;

use storage::state::{StateStore, WriteBatch};

use crate::model::{CrawlChange, CrawlId, Refusal, Response};

use super::crawl::Crawl;
use super::outcomes::OutcomesError;
use super::persist::{Changes, LoadError, scan};
use super::{State, keys, seen_runs};

/// Records of deleted crawls that one checkpoint removes.
const REMOVED_AT_ONCE: usize = 20_000;

/// A store smaller than this, in bytes, is not written anew.
const WORTH_SHRINKING: u64 = 16 << 20;

/// A store is written anew when it takes so many times what is in it.
const MOSTLY_FREE: u64 = 2;

/// What a crawl has beside its record.
const OF_A_CRAWL: [u8; 6] =
    [keys::QUEUE, keys::FRONTIER, keys::SEEN_RUN, keys::SEEN_TEXT, keys::ERROR, keys::GONE];

/// Deleted crawls that have records in the store.
#[derive(Default)]
pub(super) struct Deleted {
    /// By whether their mark is on disk.
    marked: BTreeMap<CrawlId, bool>,
}

impl Deleted {
    pub(super) fn is_empty(&self) -> bool {
        self.marked.is_empty()
    }

    /// Marks the crawls on disk; answers all that have records to remove.
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

/// Adds to a checkpoint the removal of deleted crawls' records, as many as one checkpoint may remove; whether these are
/// the last.
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

/// Writes the store anew if most of it is free: what deleted crawls had. The database uses free space again and never
/// gives any back. Commands go on meanwhile; checkpoints wait, as they do for a snapshot.
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

impl Crawl {
    /// Frees what a checkpoint has and nobody changes any more; answers it, for it can be large.
    fn put_away(&mut self) -> Option<impl Send + use<>> {
        let can = !self.put_away && self.phase().is_over() && self.open == 0;
        if !can || self.seen.has_new() || self.frontier.has_new() || self.queue.has_new() {
            return None;
        }
        self.put_away = true;
        let seen = std::mem::take(&mut self.seen);
        Some((seen, std::mem::take(&mut self.frontier), std::mem::take(&mut self.queue)))
    }

    /// Reads what was put away.
    pub(super) fn take_out(&mut self, store: &dyn StateStore, id: CrawlId) -> Result<(), LoadError> {
        for entry in scan(store, keys::of_crawl(keys::FRONTIER, id)) {
            let (key, value) = entry?;
            self.frontier.load(&key, &value)?;
        }
        seen_runs::load(store, id, &mut self.seen)?;
        self.put_away = false;
        Ok(())
    }
}

impl State {
    /// Forgets an ended crawl. One that was deleted before is not refused: the answer to that may have been lost.
    pub(super) fn delete_crawl(&mut self, id: CrawlId) -> Response {
        let Some(crawl) = self.crawls.get(&id) else {
            let was_there = (1..=self.head.last_crawl).contains(&id.0);
            return if was_there { Response::Done } else { Response::Refused(Refusal::NoSuchCrawl(id)) };
        };
        if !crawl.phase().is_over() || crawl.open > 0 {
            let phase = crawl.phase().name().to_owned();
            return Response::Refused(Refusal::NotEnded { crawl: id, phase, open: crawl.open });
        }
        self.tell_crawl(id, CrawlChange::Deleted);
        self.crawls.remove(&id);
        OF_A_CRAWL.into_iter().for_each(|tag| self.outcomes.forget(keys::of_crawl(tag, id)));
        self.deleted.marked.insert(id, false);
        Response::Done
    }

    /// The crawl that ended first, if that was `kept_ms` of cluster time before `now`.
    pub fn kept_long_enough(&self, kept_ms: u64, now: u64) -> Option<CrawlId> {
        let ended = self.crawls.iter().filter(|(_, crawl)| crawl.phase().is_over() && crawl.open == 0);
        let ended = ended.filter_map(|(&id, crawl)| Some((crawl.record.ended_at?, id)));
        let (at, id) = ended.min()?;
        (at.saturating_add(kept_ms) <= now).then_some(id)
    }

    /// Whether records of deleted crawls are left in the store.
    pub fn has_records_to_remove(&self) -> bool {
        !self.deleted.is_empty()
    }

    /// Frees what the checkpoint just written has made free to go.
    pub(super) fn put_away_ended(&mut self) -> impl Send + use<> {
        let freed: Vec<_> = self.crawls.values_mut().filter_map(Crawl::put_away).collect();
        if let Err(error) = self.deleted.written(&**self.outcomes.store()) {
            self.stop_for(OutcomesError::from(error));
        }
        freed
    }

    /// Reads the seen-set and the frontier of a reopened crawl; false when that failed, which stops the replica.
    pub(super) fn take_out(&mut self, id: CrawlId) -> bool {
        let Some(crawl) = self.crawls.get_mut(&id) else {
            self.lost_crawl(id);
            return false;
        };
        if !crawl.put_away {
            return true;
        }
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
    /// What a crawl has seen and what is in its frontier, wherever they are.
    pub(super) fn seen_and_frontier(
        &self,
        id: CrawlId,
    ) -> (Vec<storage::ids::UserId>, Vec<storage::ids::UserId>) {
        let crawl = &self.crawls[&id];
        let mut stored = Crawl::of(crawl.record.clone());
        if crawl.put_away {
            stored.take_out(&**self.outcomes.store(), id).unwrap();
        }
        let of = if crawl.put_away { &stored } else { crawl };
        (of.seen.iter().collect(), of.frontier.page(0, usize::MAX))
    }
}
