//! The monitor: what runs, how fast, what is stuck and why, and when it ends, for people and programs.
//!
//! - [`Watched`]: what it looks at, a node and through it the leader.
//! - `asked`: answers of the leader, each asked once for all browsers.
//! - `reasons`, `history`: what is made of them. `documents` says it as JSON.
//! - `stream`: the job stream of the whole cluster.
//! - `graphite`: the history that Graphite has, which goes back further.
//! - `reading`, `actions`, `events`: the API under `/api/v1`, described in `openapi.json`.
//! - `indexer`: passes on what a `twm-indexer` tells of the tweets.
//! - `access`: who may look and who may act.
//! - `pages`: the pages, which live in the browser and know the API only.

mod access;
mod actions;
mod asked;
mod assets;
mod documents;
mod events;
mod graphite;
mod history;
mod indexer;
mod problem;
mod reading;
mod reasons;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod view;
mod watched;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::documents::Pace;
use storage::env::{Clock, Entropy};
use storage::net::http_port::Gate;
use tokio_util::sync::CancellationToken;

pub(crate) use access::harden;
pub use asked::AskError;
pub(crate) use assets::{page, wants_html};
pub use graphite::{Graphite, GraphiteClientError, GraphiteUrl};
pub use indexer::{Indexer, IndexerError, IndexerUrl};
pub use watched::{Watched, WatchedNode};

use asked::Asked;
use events::Feed;
use history::History;
use stream::Observers;

/// What the monitor is told.
#[derive(Debug, Clone)]
pub struct MonitorSettings {
    /// Who may look, and who may act.
    pub gate: Arc<Gate>,
    /// Who is asked for what the tweets look like, if anybody.
    pub indexer: Option<Indexer>,
}

/// What the monitor works with.
pub struct MonitorParts {
    /// What it is told.
    pub settings: MonitorSettings,
    /// The cluster's name.
    pub cluster: String,
    /// What it looks at.
    pub watched: Arc<dyn Watched>,
    /// Who remembers for longer than this node, if anybody.
    pub graphite: Option<Graphite>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// The monitor of one node. Clones share it.
#[derive(Clone)]
pub struct Monitor {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: String,
    watched: Arc<dyn Watched>,
    graphite: Option<Graphite>,
    clock: Arc<dyn Clock>,
    gate: Arc<Gate>,
    indexer: Option<Indexer>,
    asked: Asked,
    pace: Mutex<Pace>,
    history: Mutex<History>,
    feed: Feed,
    onlookers: Observers,
    /// Names this monitor's writes.
    writer: u64,
    writes: AtomicU64,
    stop: CancellationToken,
}

impl Monitor {
    /// A monitor that has seen nothing yet.
    pub fn new(parts: MonitorParts) -> Self {
        let MonitorParts { settings, cluster, watched, graphite, clock, entropy } = parts;
        let inner = Inner {
            cluster,
            indexer: settings.indexer,
            gate: settings.gate,
            asked: Asked::of(watched.clone(), clock.clone()),
            watched,
            graphite,
            clock,
            pace: Mutex::default(),
            history: Mutex::default(),
            feed: Feed::default(),
            onlookers: Observers::default(),
            writer: entropy.next_u64(),
            writes: AtomicU64::new(0),
            stop: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Keeps the history, and tells browsers what changed, until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_history() => {}
            () = self.publish() => {}
        }
        // Listeners would keep the port open.
        self.inner.stop.cancel();
    }

    /// The rules of who may look and act.
    pub fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.inner.gate)
    }

    async fn keep_history(&self) {
        loop {
            self.sample();
            tokio::time::sleep(history::FINE.0).await;
        }
    }

    fn wall_ms(&self) -> u64 {
        millis(self.inner.clock.wall())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
