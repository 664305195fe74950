//! A queue of accounts in segments: a waiting account costs no more than its id.

use std::collections::VecDeque;

use storage::ids::{IdSegment, UserId};
use storage::planted::{Bug, planted};
use storage::state::StateStore;

use super::checksum::UserSum;
use super::keys;
use super::persist::{Changes, LoadError, scan};

/// Accounts in order, each with its depth.
#[derive(Default)]
pub(super) struct SegmentQueue {
    segments: VecDeque<Segment>,
    len: u64,
    sum: UserSum,
    /// Segments that are used up but still on disk.
    emptied: Vec<i64>,
}

struct Segment {
    number: i64,
    depth: u32,
    ids: IdSegment,
    dirty: bool,
    on_disk: bool,
}

impl SegmentQueue {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn push_back(&mut self, user: &UserId, depth: u32) {
        self.len += 1;
        self.sum.add(user, depth);
        if let Some(last) = self.segments.back_mut() {
            if last.depth == depth && last.ids.push_back(user) {
                last.dirty = true;
                return;
            }
        }
        let number = self.segments.back().map_or(0, |s| s.number + 1);
        self.segments.push_back(Segment::of(number, depth, user));
    }

    /// Adds accounts in front of all others, in their order.
    pub(super) fn push_front(&mut self, users: &[UserId], depth: u32) {
        let mut front: Vec<Segment> = Vec::new();
        for user in users {
            let joined = front.last_mut().is_some_and(|last| last.ids.push_back(user));
            if !joined {
                front.push(Segment::of(0, depth, user));
            }
        }
        self.len += users.len() as u64;
        users.iter().for_each(|user| self.sum.add(user, depth));
        for mut segment in front.into_iter().rev() {
            segment.number = self.segments.front().map_or(0, |s| s.number - 1);
            self.segments.push_front(segment);
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<(UserId, u32)> {
        let first = self.segments.front_mut()?;
        let depth = first.depth;
        let user = first.ids.pop_front()?;
        first.dirty = true;
        self.len -= 1;
        self.sum.remove(&user, depth);
        if first.ids.is_empty() {
            if let Some(used) = self.segments.pop_front() {
                if used.on_disk {
                    self.emptied.push(used.number);
                }
            }
        }
        Some((user, depth))
    }

    /// The first account.
    pub(super) fn first(&self) -> Option<UserId> {
        self.segments.front()?.ids.iter().next()
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        let segments = std::mem::take(&mut self.segments);
        self.emptied.extend(segments.into_iter().filter(|s| s.on_disk).map(|s| s.number));
        self.len = 0;
        self.sum = UserSum::default();
    }

    /// A checksum of the accounts with their depths, independent of their order.
    pub(super) fn sum(&self) -> u64 {
        self.sum.get()
    }

    /// Whether the disk is out of date.
    pub(super) fn has_new(&self) -> bool {
        !self.emptied.is_empty() || self.segments.iter().any(|segment| segment.dirty)
    }

    /// Up to `limit` accounts, starting with the `from`-th.
    pub(super) fn page(&self, from: u64, limit: usize) -> Vec<UserId> {
        let mut pager = Pager::new(from, limit);
        for segment in &self.segments {
            if !pager.take(&segment.ids) {
                break;
            }
        }
        pager.page
    }

    /// Resident bytes of the ids.
    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.iter().map(|s| s.ids.memory_bytes()).sum()
    }

    /// `key` is that of a segment, by its number.
    pub(super) fn freeze(&mut self, key: impl Fn(i64) -> Vec<u8>, changes: &mut Changes) {
        for number in self.emptied.drain(..) {
            changes.delete(key(number));
        }
        for segment in self.segments.iter_mut().filter(|s| s.dirty) {
            segment.dirty = false;
            if planted(Bug::QueueNotSaved) && !segment.on_disk {
                continue;
            }
            segment.on_disk = true;
            let mut value = segment.depth.to_be_bytes().to_vec();
            value.extend_from_slice(&segment.ids.encode());
            changes.put("queue segment", key(segment.number), value);
        }
    }

    /// Loads a record written by [`Self::freeze`]; records come in key order.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let segment = Segment::read(key, value)?;
        self.len += segment.ids.len() as u64;
        segment.ids.iter().for_each(|user| self.sum.add(&user, segment.depth));
        self.segments.push_back(segment);
        Ok(())
    }
}

/// Up to `limit` accounts of the segments in the store, starting with the `from`-th, without holding them
/// all. Blocks.
pub(super) fn stored_page(
    store: &dyn StateStore,
    range: (Vec<u8>, Vec<u8>),
    from: u64,
    limit: usize,
) -> Result<Vec<UserId>, LoadError> {
    let mut pager = Pager::new(from, limit);
    for entry in scan(store, range) {
        let (key, value) = entry?;
        if !pager.take(&Segment::read(&key, &value)?.ids) {
            break;
        }
    }
    Ok(pager.page)
}

struct Pager {
    skip: u64,
    limit: usize,
    page: Vec<UserId>,
}

impl Pager {
    fn new(skip: u64, limit: usize) -> Self {
        Self { skip, limit, page: Vec::new() }
    }

    /// Takes what the page needs from the next segment; false when the page is full.
    fn take(&mut self, ids: &IdSegment) -> bool {
        let len = ids.len() as u64;
        if self.skip >= len {
            self.skip -= len;
            return true;
        }
        self.page.extend(ids.iter().skip(self.skip as usize).take(self.limit - self.page.len()));
        self.skip = 0;
        self.page.len() < self.limit
    }
}

impl Segment {
    fn of(number: i64, depth: u32, user: &UserId) -> Self {
        let mut ids = IdSegment::new();
        let fits = ids.push_back(user);
        debug_assert!(fits, "an empty segment holds any id");
        Self { number, depth, ids, dirty: true, on_disk: false }
    }

    fn read(key: &[u8], value: &[u8]) -> Result<Self, LoadError> {
        let damaged = || LoadError::damaged("queue segment", key);
        let number = keys::segment_number(key).ok_or_else(damaged)?;
        let (depth, ids) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
        let ids = IdSegment::decode(ids).map_err(|_| damaged())?;
        let depth = u32::from_be_bytes(*depth);
        Ok(Self { number, depth, ids, dirty: false, on_disk: true })
    }
}

#[cfg(test)]
mod tests {
    use storage::env::{Entropy, SeededEntropy};
    use storage::state::{MemoryStore, StateStore, WriteBatch};

    use super::super::persist::scan;
    use super::*;
    use crate::model::CrawlId;

    const CRAWL: CrawlId = CrawlId(3);

    /// A model of the queue.
    type Model = VecDeque<(UserId, u32)>;

    fn user(dice: &SeededEntropy) -> UserId {
        let random = dice.next_u64();
        match random % 8 {
            0 => format!("did:plc:{random:x}").parse().unwrap(),
            1 => UserId::Number(1 + random % 300),
            _ => UserId::Number(random >> 3),
        }
    }

    /// Usually some accounts, at times more than a segment holds.
    fn users(dice: &SeededEntropy) -> Vec<UserId> {
        let most = if dice.next_u64() % 12 == 0 { 9_000 } else { 40 };
        (0..dice.next_u64() % most).map(|_| user(dice)).collect()
    }

    fn save(queue: &mut SegmentQueue, store: &MemoryStore) {
        let (mut changes, mut batch) = (Changes::default(), WriteBatch::new());
        queue.freeze(|number| keys::segment(keys::QUEUE, CRAWL, number), &mut changes);
        changes.add_to(&mut batch);
        store.write(batch).unwrap();
    }

    fn load(store: &MemoryStore) -> SegmentQueue {
        let mut queue = SegmentQueue::default();
        for entry in scan(store, keys::of_crawl(keys::QUEUE, CRAWL)) {
            let (key, value) = entry.unwrap();
            queue.load(&key, &value).unwrap();
        }
        queue
    }

    fn step(dice: &SeededEntropy, queue: &mut SegmentQueue, model: &mut Model) {
        let depth = (dice.next_u64() % 3) as u32;
        match dice.next_u64() % 100 {
            0..45 => {
                for user in users(dice) {
                    queue.push_back(&user, depth);
                    model.push_back((user, depth));
                }
            }
            45..60 => {
                let users = users(dice);
                queue.push_front(&users, depth);
                users.into_iter().rev().for_each(|user| model.push_front((user, depth)));
            }
            60..90 => {
                for _ in 0..users(dice).len() * 2 {
                    assert_eq!(queue.pop_front(), model.pop_front());
                }
            }
            90..99 => {
                let (from, limit) = (dice.next_u64() % 6_000, dice.next_u64() as usize % 6_000);
                let page = model.iter().skip(from as usize).take(limit).map(|(user, _)| user.clone());
                assert_eq!(queue.page(from, limit), page.collect::<Vec<_>>());
            }
            _ => {
                queue.clear();
                model.clear();
            }
        }
        assert_eq!(queue.len(), model.len() as u64);
    }

    #[test]
    fn behaves_as_a_queue_and_restarts_at_its_last_checkpoint() {
        for seed in 0..12 {
            let dice = SeededEntropy::new(seed);
            let store = MemoryStore::new();
            let (mut queue, mut model) = (SegmentQueue::default(), Model::new());
            let mut saved = Model::new();
            for _ in 0..400 {
                step(&dice, &mut queue, &mut model);
                match dice.next_u64() % 20 {
                    0..3 => {
                        save(&mut queue, &store);
                        saved.clone_from(&model);
                    }
                    3 => {
                        queue = load(&store);
                        model.clone_from(&saved);
                    }
                    _ => {}
                }
            }
            save(&mut queue, &store);
            let mut loaded = load(&store);
            assert!(
                model.iter().all(|expected| loaded.pop_front().as_ref() == Some(expected)),
                "seed {seed}"
            );
            assert_eq!((loaded.pop_front(), queue.page(0, usize::MAX).len()), (None, model.len()));
        }
    }
}
