//! The job stream: events of the whole cluster, as this node's replica applies them.
//!
//! The replica records them only while there are observers, and keeps the newest few hundred.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Monitor, documents};

/// Most events in one answer.
const MOST_EVENTS: usize = 200;
/// An observer that has not asked for this long is gone. Browsers ask every few seconds.
const OBSERVER_TIMEOUT: Duration = Duration::from_secs(30);

/// The observers of the stream.
#[derive(Debug, Default)]
pub(super) struct Observers {
    last_look: Mutex<Option<Duration>>,
    /// Cluster time, and the wall-clock time of its zero when it was first seen to have this value, ms.
    clock: Mutex<Option<(u64, u64)>>,
}

impl Monitor {
    /// The events after the given local number. The replica records events from now on.
    pub(super) fn stream_document(&self, after: u64) -> Value {
        let now = self.inner.clock.monotonic();
        if self.last_look().replace(now).is_none() {
            self.inner.watched.look_at_events(true);
        }
        let (events, clock) = self.inner.watched.events(after, MOST_EVENTS);
        // Events have cluster time; people want wall-clock time.
        let begin = self.wall_ms_of_zero(clock);
        let first = events.first().map_or(after + 1, |(number, _)| *number);
        let number = |(number, event): &(u64, api::model::Event)| documents::event(*number, begin, event);
        json!({
            "node": self.inner.watched.own().id,
            "missed": if after > 0 { first.saturating_sub(after + 1) } else { 0 },
            "events": events.iter().map(number).collect::<Vec<_>>(),
        })
    }

    /// Wall-clock time of the zero of cluster time, ms. The cluster time that is known stands still while nothing is
    /// applied, and only its changes tell anything.
    fn wall_ms_of_zero(&self, clock: u64) -> u64 {
        let mut seen = self.inner.observers.clock.lock().unwrap_or_else(PoisonError::into_inner);
        match *seen {
            Some((at, begin)) if at == clock => begin,
            _ => seen.insert((clock, self.wall_ms().saturating_sub(clock))).1,
        }
    }

    /// Stops recording events once there are no observers.
    pub(super) fn stop_if_unobserved(&self) {
        let now = self.inner.clock.monotonic();
        let mut last = self.last_look();
        if last.is_some_and(|last| now.saturating_sub(last) > OBSERVER_TIMEOUT) {
            *last = None;
            self.inner.watched.look_at_events(false);
        }
    }

    fn last_look(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.inner.observers.last_look.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
