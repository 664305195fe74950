//! Events for a mirror, replicated with the state and bounded.
//!
//! The outbox keeps the newest events. A mirror reads them from any replica by id, tells the cluster how far
//! it has come, and can go back as long as what it needs is kept. Nobody waits for it: when the outbox is
//! full, the oldest events leave it, and those that were not passed on are counted (TWM-M1).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};
use storage::planted::{Bug, planted};
use storage::state::StateStore;

use crate::model::{Event, EventId, EventKind};

use super::checksum::Checksum;
use super::keys;
use super::live_events::LiveEvents;
use super::persist::{Changes, LoadError, scan};
use super::saved::Saved;

/// A block is closed at this size, bytes; with one more event it still fits in a value of the state store.
const BLOCK: usize = 32 * 1024;
/// This fraction of the outbox may hold events that were passed on already, for a mirror that lost some.
const KEPT_BEHIND: u64 = 4;

/// The newest events.
#[derive(Default)]
pub(super) struct Outbox {
    head: Saved<OutboxHead>,
    blocks: VecDeque<Block>,
    bytes: u64,
    /// Blocks that have left and are still on disk.
    left: Vec<u64>,
    /// The entry that is being applied, and the number of its events so far.
    now: EventId,
    /// Live events of this replica.
    live: Arc<LiveEvents>,
    /// A gap in the numbers, which must not happen (TWM-M1).
    gap: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct OutboxHead {
    /// Most bytes of events; 0: there is no mirror, and nothing is kept.
    capacity: u64,
    /// Number of the newest event.
    number: u64,
    /// Number of the newest block.
    block: u64,
    /// All events up to this one were passed on.
    passed: EventId,
    /// All events up to this one have left the outbox.
    left: EventId,
    /// Events that left before they were passed on.
    dropped: u64,
    /// The term of the last announced leader.
    term: u64,
}

struct Block {
    number: u64,
    last: EventId,
    bytes: Vec<u8>,
    dirty: bool,
    on_disk: bool,
    /// Start of the last event that was checked; a check continues from there.
    checked: AtomicUsize,
}

/// The state of the outbox, for status and for the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxView {
    /// Most bytes of events; 0 when nothing is kept.
    pub capacity: u64,
    /// Bytes of events that are kept.
    pub bytes: u64,
    /// Number of the newest event.
    pub newest: u64,
    /// All events up to this one were passed on.
    pub passed: EventId,
    /// All events up to this one have left the outbox.
    pub left: EventId,
    /// Events that left before they were passed on.
    pub dropped: u64,
    /// The term of the last announced leader.
    pub term: u64,
}

impl Outbox {
    /// An entry begins.
    pub(super) fn begin(&mut self, index: u64) {
        self.now = EventId { index, place: 0 };
    }

    fn is_watched(&self) -> bool {
        self.head.capacity > 0
    }

    /// Whether anybody is interested in events.
    pub(super) fn is_observed(&self) -> bool {
        self.is_watched() || self.live.is_looked_at()
    }

    pub(super) fn live(&self) -> &Arc<LiveEvents> {
        &self.live
    }

    /// Keeps the observers of the previous state.
    pub(super) fn continue_with(&mut self, live: Arc<LiveEvents>) {
        self.live = live;
    }

    /// Sets how many bytes are kept. With 0 everything leaves, and nothing counts as dropped, since there is
    /// no mirror.
    pub(super) fn resize(&mut self, capacity: u64) {
        if self.head.capacity == capacity {
            return;
        }
        self.head.change().capacity = capacity;
        if capacity == 0 {
            self.head.change().passed = self.blocks.back().map_or(self.head.passed, |block| block.last);
        }
        self.shrink();
    }

    pub(super) fn push(&mut self, at: u64, kind: EventKind) {
        if !self.is_observed() {
            return;
        }
        self.now.place += 1;
        let mut event = Event { id: self.now, number: self.head.number, at, kind };
        if self.is_watched() {
            if !planted(Bug::EventTwice) || self.now.place % 3 != 0 {
                self.head.change().number += 1;
            }
            event.number = self.head.number;
            self.keep(&event);
        }
        self.live.note(event);
    }

    fn keep(&mut self, event: &Event) {
        let room = self.blocks.back().is_some_and(|block| block.bytes.len() < BLOCK);
        if !room {
            self.head.change().block += 1;
            self.blocks.push_back(Block::empty(self.head.block));
        }
        let Some(block) = self.blocks.back_mut() else {
            self.gap.get_or_insert_with(|| format!("there is no block for event {}", event.number));
            return;
        };
        let before = block.bytes.len();
        match postcard::to_extend(event, std::mem::take(&mut block.bytes)) {
            Ok(bytes) => block.bytes = bytes,
            Err(error) => {
                self.gap.get_or_insert_with(|| format!("event {} was not kept: {error}", event.number));
                return;
            }
        }
        block.dirty = true;
        block.last = event.id;
        self.bytes += (block.bytes.len() - before) as u64;
        self.shrink();
    }

    /// The gap in the numbers since the last call, if any.
    pub(super) fn take_gap(&mut self) -> Option<String> {
        self.gap.take()
    }

    #[cfg(test)]
    pub(super) fn skip_a_number(&mut self) {
        self.head.change().number += 1;
    }

    /// Checks TWM-M1 in the newest block and the sums over all blocks; returns a violation.
    pub(super) fn check(&self) -> Result<(), String> {
        let bytes: u64 = self.blocks.iter().map(|block| block.bytes.len() as u64).sum();
        if bytes != self.bytes {
            return Err(format!("the outbox counts {} bytes of events and has {bytes}", self.bytes));
        }
        let Some(newest) = self.blocks.back() else { return Ok(()) };
        let mut last: Option<Event> = None;
        let mut rest = newest.bytes.get(newest.checked.load(Relaxed)..).unwrap_or_default();
        while let Ok((event, after)) = postcard::take_from_bytes::<Event>(rest) {
            newest.checked.store(newest.bytes.len() - rest.len(), Relaxed);
            rest = after;
            if let Some(last) = last.filter(|last| last.number + 1 != event.number || last.id >= event.id) {
                return Err(format!(
                    "event {} ({}) follows {} ({})",
                    event.number, event.id, last.number, last.id
                ));
            }
            last = Some(event);
        }
        match last {
            Some(last) if last.number == self.head.number && last.id == newest.last => Ok(()),
            last => Err(format!("the newest event is {}, kept is {last:?}", self.head.number)),
        }
    }

    /// All events up to `through` were passed on.
    pub(super) fn passed(&mut self, through: EventId) {
        if through > self.head.passed {
            self.head.change().passed = through;
            self.forget_passed();
        }
    }

    /// Whether the leader of this term is new to the outbox.
    pub(super) fn take_term(&mut self, term: u64) -> bool {
        let new = term > self.head.term;
        if new {
            self.head.change().term = term;
        }
        new
    }

    /// Drops the oldest events until the rest fits. The block being filled stays as long as there is a mirror.
    fn shrink(&mut self) {
        let keep = usize::from(self.is_watched());
        while self.bytes > self.head.capacity && self.blocks.len() > keep {
            self.drop_oldest();
        }
    }

    /// Drops events that were passed on, except for the part kept for a mirror that lost some.
    fn forget_passed(&mut self) {
        let passed = self.head.passed;
        let behind = self.blocks.iter().take_while(|block| block.last <= passed);
        let mut bytes: u64 = behind.map(|block| block.bytes.len() as u64).sum();
        while bytes > self.head.capacity / KEPT_BEHIND && self.blocks.len() > 1 {
            bytes = bytes.saturating_sub(self.drop_oldest());
        }
    }

    /// Returns the bytes dropped.
    fn drop_oldest(&mut self) -> u64 {
        let Some(block) = self.blocks.pop_front() else { return 0 };
        let size = block.bytes.len() as u64;
        if block.last > self.head.passed {
            self.head.change().dropped += block.after(self.head.passed).count() as u64;
        }
        self.head.change().left = block.last;
        self.bytes -= size;
        if block.on_disk {
            self.left.push(block.number);
        }
        size
    }

    /// The events after `id`, about `bytes` of them in stored form, and at least one if there is any.
    pub(super) fn after(&self, id: EventId, bytes: usize) -> KeptEvents {
        let from = self.blocks.partition_point(|block| block.last <= id);
        let mut taken = 0;
        let enough = |block: &&Block| {
            let wanted = taken < bytes.max(1);
            taken += block.bytes.len();
            wanted
        };
        let blocks = self.blocks.range(from..).take_while(enough).map(|block| block.bytes.clone());
        KeptEvents { left: self.head.left, after: id, blocks: blocks.collect() }
    }

    /// A checksum of all kept events, and of what has become of the others.
    pub(super) fn sum(&self) -> u64 {
        let mut events = crc32fast::Hasher::new();
        self.blocks.iter().for_each(|block| events.update(&block.bytes));
        let events = u64::from(events.finalize());
        Checksum::default().record(&*self.head).number(self.bytes).number(events).finish()
    }

    pub(super) fn view(&self) -> OutboxView {
        let OutboxHead { capacity, number, passed, left, dropped, term, .. } = *self.head;
        OutboxView { capacity, bytes: self.bytes, newest: number, passed, left, dropped, term }
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        if let Some(head) = self.head.take_changed() {
            changes.put_record("outbox", keys::OUTBOX_HEAD.to_vec(), head);
        }
        for number in self.left.drain(..) {
            changes.delete(keys::outbox_block(number));
        }
        for block in self.blocks.iter_mut().filter(|block| block.dirty) {
            block.dirty = false;
            block.on_disk = true;
            changes.put("block of events", keys::outbox_block(block.number), block.bytes.clone());
        }
    }

    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut outbox = Self::default();
        if let Some(value) = store.get(keys::OUTBOX_HEAD)? {
            let damaged = |_| LoadError::damaged("outbox", keys::OUTBOX_HEAD);
            outbox.head = Saved::loaded(postcard::from_bytes(&value).map_err(damaged)?);
        }
        for entry in scan(store, keys::of_tag(keys::OUTBOX)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("block of events", &key);
            let number = keys::number_at(&key, 1).ok_or_else(damaged)?;
            let block = Block::of(number, value).ok_or_else(damaged)?;
            outbox.bytes += block.bytes.len() as u64;
            outbox.blocks.push_back(block);
        }
        Ok(outbox)
    }
}

impl Block {
    fn empty(number: u64) -> Self {
        Self {
            number,
            last: EventId::default(),
            bytes: Vec::new(),
            dirty: true,
            on_disk: false,
            checked: AtomicUsize::default(),
        }
    }

    /// A block as it was written; `None` if it is damaged.
    fn of(number: u64, bytes: Vec<u8>) -> Option<Self> {
        let mut block = Self { number, bytes, dirty: false, on_disk: true, ..Self::empty(number) };
        let mut rest = block.bytes.as_slice();
        while !rest.is_empty() {
            let (event, after) = postcard::take_from_bytes::<Event>(rest).ok()?;
            (block.last, rest) = (event.id, after);
        }
        (!block.bytes.is_empty()).then_some(block)
    }

    fn after(&self, id: EventId) -> impl Iterator<Item = Event> + '_ {
        events_in(&self.bytes).filter(move |event| event.id > id)
    }
}

fn events_in(mut rest: &[u8]) -> impl Iterator<Item = Event> + '_ {
    std::iter::from_fn(move || {
        let (event, after) = postcard::take_from_bytes::<Event>(rest).ok()?;
        rest = after;
        Some(event)
    })
}

/// Kept events, readable without holding the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvents {
    /// All events up to this one have left the outbox.
    pub left: EventId,
    after: EventId,
    blocks: Vec<Vec<u8>>,
}

impl KeptEvents {
    /// The events, oldest first.
    pub fn read(&self) -> Vec<Event> {
        let events = self.blocks.iter().flat_map(|block| events_in(block));
        events.filter(|event| event.id > self.after).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_are_numbered_well_and_whose_ids_do_not_grow_violate_the_invariant() {
        let mut outbox = Outbox::default();
        outbox.resize(1 << 20);
        let kind = || EventKind::Leader { node: 1, term: 1 };
        for index in [4, 6] {
            outbox.begin(index);
            outbox.push(0, kind());
            outbox.check().unwrap();
        }
        outbox.begin(5);
        outbox.push(0, kind());
        let said = outbox.check().unwrap_err();
        assert!(said.starts_with("event 3 ") && said.contains("follows 2 "), "{said}");
    }
}
