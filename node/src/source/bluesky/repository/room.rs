//! Bounds what all repositories of a node together keep on its disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The disk space for repositories. Clones share it.
#[derive(Debug, Clone)]
pub(in super::super) struct Room {
    taken: Arc<AtomicU64>,
    limit: u64,
}

impl Room {
    /// Room for `limit` bytes.
    pub(in super::super) fn new(limit: u64) -> Self {
        Self { taken: Arc::default(), limit }
    }

    /// The bound, bytes.
    pub(in super::super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn nothing(&self) -> Taken {
        Taken { room: self.clone(), bytes: 0 }
    }
}

/// A part of the room, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Taken {
    room: Room,
    bytes: u64,
}

impl Taken {
    /// Takes as much more as `bytes` in all need. `false` if that is not there.
    pub(super) fn grow_to(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let fits = |taken: u64| taken.checked_add(more).filter(|taken| *taken <= self.room.limit);
        let grown = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_share_the_room_and_give_it_back() {
        let room = Room::new(10);
        let (mut one, mut other) = (room.nothing(), room.nothing());
        assert!(one.grow_to(6) && one.grow_to(4) && other.grow_to(4));
        assert!(!other.grow_to(5) && !one.grow_to(u64::MAX));
        drop(one);
        assert!(other.grow_to(10) && !other.grow_to(11));
        drop(other);
        assert!(room.nothing().grow_to(10));
    }
}
