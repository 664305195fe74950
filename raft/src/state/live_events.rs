//! Live events for observers of this replica.
//!
//! They are not part of the state: they are neither replicated nor stored, and no command depends on them. Without
//! observers nothing is recorded, so that applying commands costs nothing more.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use crate::model::Event;

/// Most events kept for observers.
const KEPT: usize = 500;

/// The newest events of one replica, while it has observers.
#[derive(Debug, Default)]
pub struct LiveEvents {
    looked_at: AtomicBool,
    newest: Mutex<Newest>,
}

#[derive(Debug, Default)]
struct Newest {
    events: VecDeque<Event>,
    /// Number of events recorded so far.
    count: u64,
}

impl LiveEvents {
    /// Starts or stops recording.
    pub fn look(&self, looked_at: bool) {
        self.looked_at.store(looked_at, Ordering::Relaxed);
        if !looked_at {
            self.lock().events = VecDeque::new();
        }
    }

    /// The newest events after the given local number, at most `most`, oldest first, each with its local number. A
    /// number from another process counts as zero.
    pub fn after(&self, after: u64, most: usize) -> Vec<(u64, Event)> {
        let newest = self.lock();
        let after = if after > newest.count { 0 } else { after };
        let numbered = (1..=newest.count).rev().zip(newest.events.iter().rev());
        let wanted = numbered.take(most).take_while(|(number, _)| *number > after);
        let mut events: Vec<_> = wanted.map(|(number, event)| (number, event.clone())).collect();
        events.reverse();
        events
    }

    pub(super) fn is_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// Records an event if there are observers.
    pub(super) fn note(&self, event: Event) {
        if !self.is_looked_at() {
            return;
        }
        let mut newest = self.lock();
        if newest.events.len() >= KEPT {
            newest.events.pop_front();
        }
        newest.events.push_back(event);
        newest.count += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.newest.lock().unwrap_or_else(|e| e.into_inner())
    }
}
