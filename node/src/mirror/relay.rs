//! Passes events from the outbox to Redis while the node leads.

use std::sync::Arc;
use std::time::Duration;

use api::TrackerApi;
use api::model::{Event, EventId};
use raft::server::Tracker;
use storage::env::{Backoff, Clock, Entropy};
use storage::net::mirrored::EVENTS;
use storage::planted::{Bug, planted};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::append::{Appended, End, EventServer, EventStream};
use super::legacy::Legacy;
use super::status::{MirrorStatus, MirrorView};
use super::{entry, legacy};

/// First and longest pause between two attempts to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often the mirror checks, without a wake-up, whether it leads and what the counters are.
const LOOK: Duration = Duration::from_millis(500);
/// Interval at which the cluster learns what was passed on, and the original's lists are written.
const TELL: Duration = Duration::from_secs(1);
/// Events appended at once, bytes in the outbox.
const BATCH: usize = 64 * 1024;
/// How long a stream may be ahead of the log before it counts as another cluster's: a new leader first applies what
/// was committed before it.
const CATCH_UP: Duration = Duration::from_secs(3);

/// The options of a mirror.
pub struct MirrorOptions {
    /// The server of the stream.
    pub server: Arc<dyn EventServer>,
    /// Approximate number of entries at which the stream of events is trimmed.
    pub events_length: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Mirrors events while its node leads.
pub struct Mirror {
    options: MirrorOptions,
    tracker: Tracker,
    status: Arc<MirrorStatus>,
}

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error(transparent)]
    Connect(#[from] storage::net::redis::RedisError),
    #[error("Redis at {url} does not take what is mirrored: {source}")]
    Refused { url: String, source: redis::RedisError },
    #[error(
        "the stream {EVENTS} at {url} ends at {end}, beyond this cluster's log ({log}): another cluster has written it; \
         delete it, or give this cluster a database of its own with --redis"
    )]
    Foreign { url: String, end: EventId, log: u64 },
}

impl Mirror {
    /// A mirror that is not running yet.
    pub fn new(options: MirrorOptions, tracker: Tracker) -> Self {
        Self { options, tracker, status: Arc::default() }
    }

    /// A view of its status.
    pub fn view(&self) -> impl Fn() -> MirrorView + Send + Sync + use<> {
        let status = self.status.clone();
        move || status.view()
    }

    /// Mirrors until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.lead() => worked,
            };
            match worked {
                Ok(()) => backoff.reset(),
                Err(trouble) => {
                    let what = trouble.to_string();
                    if self.status.trouble(&what) {
                        tracing::warn!("events wait in the outbox: {what}");
                    }
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = sleep(backoff.next(&*self.options.entropy)) => {}
                    }
                }
            }
        }
    }

    /// One connection, from the time when this node takes the lead until it loses it.
    async fn lead(&self) -> Result<(), MirrorError> {
        if !self.tracker.is_leader() {
            // The new leader reports any problem from here on.
            self.status.change(|view| view.trouble = None);
        }
        while !self.tracker.is_leader() {
            sleep(LOOK).await;
        }
        let mut redis = self.options.server.connect().await?;
        let end = self.find_place(&mut *redis).await?;
        self.status.change(|view| (view.writes, view.trouble) = (true, None));
        tracing::info!(url = %self.options.server, stream = EVENTS, behind = %end.id, "mirrors events");
        let worked = self.relay(&mut *redis, end).await;
        self.status.change(|view| view.writes = false);
        worked
    }

    /// Where the stream ends. A stream that ends beyond the log was written by another cluster.
    async fn find_place(&self, redis: &mut dyn EventStream) -> Result<End, MirrorError> {
        let begun = self.options.clock.monotonic();
        loop {
            let end = redis.end().await.map_err(|source| self.refused(source))?;
            let log = self.tracker.status().applied;
            if end.id.index <= log {
                return Ok(end);
            }
            if self.options.clock.monotonic().saturating_sub(begun) > CATCH_UP {
                return Err(MirrorError::Foreign { url: self.options.server.to_string(), end: end.id, log });
            }
            sleep(LOOK).await;
        }
    }

    /// Passes events on while this node leads.
    async fn relay(&self, redis: &mut dyn EventStream, mut end: End) -> Result<(), MirrorError> {
        let mut changes = self.tracker.changes();
        let mut legacy = Legacy::default();
        let mut told = (self.options.clock.monotonic(), self.tracker.outbox().passed);
        while self.tracker.is_leader() {
            let kept = self.tracker.events_after(end.id, BATCH);
            let events = kept.read();
            let idle = events.is_empty();
            if !idle {
                end = self.pass_on(redis, end, kept.left, &events).await?;
            }
            let now = self.options.clock.monotonic();
            if now.saturating_sub(told.0) >= TELL {
                legacy.write(redis, &self.tracker).await.map_err(|source| self.refused(source))?;
                // Only with other entries, because each such call is an entry of the log.
                if end.id > told.1 && self.tracker.events_passed(self.tracker.id(), end.id).await.is_ok() {
                    told.1 = end.id;
                }
                told.0 = now;
            }
            if idle && timeout(LOOK, changes.changed()).await.is_ok_and(|alive| alive.is_err()) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Appends events behind `end`, given that all up to `left` have left the outbox. Returns the new end of the
    /// stream, which may be elsewhere if it had ended elsewhere before.
    async fn pass_on(
        &self,
        redis: &mut dyn EventStream,
        end: End,
        left: EventId,
        events: &[Event],
    ) -> Result<End, MirrorError> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(end) };
        let wall = self.options.clock.wall();
        let gap = gap_before(end, left, first);
        let gaps = u64::from(gap.is_some());
        let entries = gap.into_iter().chain(events.iter().map(|event| (event.id, entry::fields(event))));
        let mut commands: Vec<_> = entries.map(|(id, fields)| self.append_entry(id, wall, fields)).collect();
        commands.extend(legacy::log_lines(events, wall));
        let appended = redis.append(end.id, &commands).await.map_err(|source| self.refused(source))?;
        if appended == Appended::Elsewhere {
            return self.find_place(redis).await;
        }
        self.status.change(|view| {
            view.appended += events.len() as u64;
            view.gaps += gaps;
        });
        if gaps > 0 {
            tracing::warn!(after = %end.id, before = %first.id, "events had left the outbox; a gap entry stands for them");
        }
        Ok(End { id: last.id, number: Some(last.number) })
    }

    fn append_entry(&self, id: EventId, wall: Duration, fields: Vec<String>) -> Vec<String> {
        let length = self.options.events_length.to_string();
        let words = ["XADD", EVENTS, "MAXLEN", "~", &length].map(str::to_owned);
        let time = ["time".to_owned(), wall.as_millis().to_string()];
        words.into_iter().chain([id.to_string()]).chain(fields).chain(time).collect()
    }

    fn refused(&self, source: redis::RedisError) -> MirrorError {
        MirrorError::Refused { url: self.options.server.to_string(), source }
    }
}

/// The entry for events that are missing between the stream's end and the first kept one, if any.
fn gap_before(end: End, left: EventId, first: &Event) -> Option<(EventId, Vec<String>)> {
    let missing = left > end.id || end.number.is_some_and(|number| number + 1 < first.number);
    // The last missing event gives the id. If only the numbers reveal the gap, as after another cluster's events,
    // place 0 of the first event's entry is free.
    let id = if left > end.id { left } else { EventId { place: 0, ..first.id } };
    let fits = missing && end.id < id && id < first.id && !planted(Bug::GapHidden);
    fits.then(|| (id, entry::gap(end.id, first.number - 1, first.at)))
}
