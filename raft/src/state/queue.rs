//! A queue of accounts in segments: what one waiting job costs is what its id costs.

use std::collections::VecDeque;

use storage::ids::{IdSegment, UserId};

use crate::model::CrawlId;

use super::keys;
use super::persist::{Changes, LoadError};

/// Accounts in order, with the depth each was found at.
#[derive(Default)]
pub(super) struct SegmentQueue {
    segments: VecDeque<Segment>,
    len: u64,
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

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push_back(&mut self, user: &UserId, depth: u32) {
        self.len += 1;
        if let Some(last) = self.segments.back_mut() {
            if last.depth == depth && last.ids.push_back(user) {
                last.dirty = true;
                return;
            }
        }
        let number = self.segments.back().map_or(0, |s| s.number + 1);
        self.segments.push_back(Segment::of(number, depth, user));
    }

    /// Puts accounts, in their order, before all others.
    pub(super) fn push_front(&mut self, users: &[UserId], depth: u32) {
        let mut front: Vec<Segment> = Vec::new();
        for user in users {
            let joined = front.last_mut().is_some_and(|last| last.ids.push_back(user));
            if !joined {
                front.push(Segment::of(0, depth, user));
            }
        }
        self.len += users.len() as u64;
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
        if first.ids.is_empty() {
            if let Some(used) = self.segments.pop_front() {
                if used.on_disk {
                    self.emptied.push(used.number);
                }
            }
        }
        Some((user, depth))
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.emptied.extend(self.segments.drain(..).filter(|s| s.on_disk).map(|s| s.number));
        self.len = 0;
    }

    /// Up to `limit` accounts from the `from`-th on.
    pub(super) fn page(&self, from: u64, limit: usize) -> Vec<UserId> {
        let mut skip = from;
        let mut page = Vec::new();
        for segment in &self.segments {
            let len = segment.ids.len() as u64;
            if skip >= len {
                skip -= len;
                continue;
            }
            page.extend(segment.ids.iter().skip(skip as usize).take(limit - page.len()));
            skip = 0;
            if page.len() == limit {
                break;
            }
        }
        page
    }

    /// Resident bytes of the ids.
    pub(super) fn memory_bytes(&self) -> usize {
        self.segments.iter().map(|s| s.ids.memory_bytes()).sum()
    }

    pub(super) fn freeze(&mut self, tag: u8, crawl: CrawlId, changes: &mut Changes) {
        for number in self.emptied.drain(..) {
            changes.delete(keys::segment(tag, crawl, number));
        }
        for segment in self.segments.iter_mut().filter(|s| s.dirty) {
            segment.dirty = false;
            segment.on_disk = true;
            let mut value = segment.depth.to_be_bytes().to_vec();
            value.extend_from_slice(&segment.ids.encode());
            changes.put(keys::segment(tag, crawl, segment.number), value);
        }
    }

    /// Takes a record written by [`Self::freeze`]; records come in the order of their keys.
    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let damaged = || LoadError::damaged("queue segment", key);
        let number = keys::segment_number(key).ok_or_else(damaged)?;
        let (depth, ids) = value.split_first_chunk::<4>().ok_or_else(damaged)?;
        let ids = IdSegment::decode(ids).map_err(|_| damaged())?;
        self.len += ids.len() as u64;
        let depth = u32::from_be_bytes(*depth);
        self.segments.push_back(Segment { number, depth, ids, dirty: false, on_disk: true });
        Ok(())
    }
}

impl Segment {
    fn of(number: i64, depth: u32, user: &UserId) -> Self {
        let mut ids = IdSegment::new();
        let fits = ids.push_back(user);
        debug_assert!(fits, "an empty segment holds any id");
        Self { number, depth, ids, dirty: true, on_disk: false }
    }
}
