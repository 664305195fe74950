//! Pushes changes to browsers about once a second as server-sent events.
//!
//! Documents are created once for all listeners, and only while there are any. A listener that reads slowly skips
//! what it missed and gets the current documents.

use std::convert::Infallible;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Monitor;
use super::history::Point;
use super::problem::Problem;

/// Most listeners: the port has 128 connections, and others need some.
pub(super) const MOST_LISTENERS: usize = 64;
/// Time between two events.
const EVERY: Duration = Duration::from_secs(1);
/// Delay after which a browser reconnects.
const COME_BACK: Duration = Duration::from_secs(1);

/// The topics, in the order in which they are sent.
const TOPICS: [&str; 5] = ["cluster", "jobs", "stream", "history", "log"];

/// What listeners wait for.
pub(super) struct Feed {
    now: watch::Sender<Documents>,
    places: Arc<Semaphore>,
}

impl Default for Feed {
    fn default() -> Self {
        Self { now: watch::Sender::default(), places: Arc::new(Semaphore::new(MOST_LISTENERS)) }
    }
}

/// The current documents.
#[derive(Debug, Clone, Default)]
struct Documents {
    cluster: Arc<str>,
    jobs: Arc<str>,
    history: Arc<str>,
}

impl Monitor {
    /// Creates the documents while there are listeners.
    pub(super) async fn publish(&self) {
        let feed = &self.inner.feed;
        loop {
            if feed.now.receiver_count() > 0 {
                let view = self.look().await;
                let cluster = self.cluster_in_short(view).to_string().into();
                let jobs = self.jobs_document().to_string().into();
                let newest = self.inner.history.lock().unwrap_or_else(PoisonError::into_inner).newest();
                let point = newest.map(|point| point.values());
                let history = json!({ "fields": Point::FIELDS, "point": point }).to_string().into();
                feed.now.send_replace(Documents { cluster, jobs, history });
            }
            self.stop_if_unobserved();
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// The topics, comma-separated; all if absent.
#[derive(Debug, Deserialize)]
pub(super) struct TopicQuery {
    topics: Option<String>,
    /// Log lines after this one.
    #[serde(default)]
    after: u64,
}

pub(super) async fn events(State(monitor): State<Monitor>, Query(wanted): Query<TopicQuery>) -> Response {
    let topics = match &wanted.topics {
        None => TOPICS.to_vec(),
        Some(named) => {
            let known = |name: &str| TOPICS.into_iter().find(|topic| *topic == name);
            match named.split(',').map(|name| known(name).ok_or(name)).collect::<Result<Vec<_>, _>>() {
                Ok(topics) => topics,
                Err(name) => {
                    let what = format!("{name:?} is no topic; there are {}", TOPICS.join(", "));
                    return Problem::new(StatusCode::BAD_REQUEST, what).into_response();
                }
            }
        }
    };
    let Ok(place) = monitor.inner.feed.places.clone().try_acquire_owned() else {
        let what = format!("{MOST_LISTENERS} listeners are here already; close some pages, or ask with GET");
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, what).into_response();
    };
    let listener = Listener::of(monitor, topics, wanted.after, place);
    Sse::new(listener.stream()).keep_alive(KeepAlive::default()).into_response()
}

/// One browser.
struct Listener {
    monitor: Monitor,
    now: watch::Receiver<Documents>,
    topics: Vec<&'static str>,
    /// The last documents sent.
    told: Documents,
    told_line: u64,
    told_event: u64,
    waiting: std::collections::VecDeque<Event>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    fn of(monitor: Monitor, topics: Vec<&'static str>, told_line: u64, place: OwnedSemaphorePermit) -> Self {
        let mut now = monitor.inner.feed.now.subscribe();
        // Documents made for earlier listeners are outdated.
        now.mark_unchanged();
        let hello = Event::default().retry(COME_BACK).comment("twm");
        let waiting = [hello].into();
        Self {
            monitor,
            now,
            topics,
            told: Documents::default(),
            told_line,
            told_event: 0,
            waiting,
            _place: place,
        }
    }

    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut listener| async move {
            let event = listener.next().await?;
            Some((Ok(event), listener))
        })
    }

    /// The next event; `None` when the node stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                () = self.monitor.inner.stop.cancelled() => return None,
                changed = self.now.changed() => changed.ok()?,
            }
            let now = self.now.borrow_and_update().clone();
            for topic in self.topics.clone() {
                let changed = match topic {
                    "cluster" => news(&now.cluster, &mut self.told.cluster),
                    "jobs" => news(&now.jobs, &mut self.told.jobs),
                    "stream" => self.new_events(),
                    "history" => news(&now.history, &mut self.told.history),
                    _ => self.new_lines(),
                };
                self.waiting.extend(changed.map(|data| Event::default().event(topic).data(data)));
            }
        }
    }

    fn new_events(&mut self) -> Option<Arc<str>> {
        let document = self.monitor.stream_document(self.told_event);
        let last = document["events"].as_array()?.last()?["number"].as_u64()?;
        self.told_event = last;
        Some(document.to_string().into())
    }

    fn new_lines(&mut self) -> Option<Arc<str>> {
        let document = self.monitor.log_document(self.told_line);
        let last = document["lines"].as_array()?.last()?["sequence"].as_u64()?;
        self.told_line = last;
        Some(document.to_string().into())
    }
}

/// A document that was not sent yet.
fn news(now: &Arc<str>, told: &mut Arc<str>) -> Option<Arc<str>> {
    if now == told || now.is_empty() {
        return None;
    }
    told.clone_from(now);
    Some(now.clone())
}
