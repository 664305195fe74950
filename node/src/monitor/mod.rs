//! The monitor: what runs, how fast, what is stuck and why, and when it ends, for people and programs.
//!
//! - [`Watched`]: the interface to the node and, through it, to the leader.
//! - `asked`: queries to the leader, each made once for all browsers.
//! - `reasons`, `history`: derived from those. `documents` renders it as JSON.
//! - `stream`: the job stream of the whole cluster.
//! - `graphite`: the history in Graphite, which goes back further.
//! - `reading`, `actions`, `events`: the API under `/api/v1`, described in `openapi.json`.
//! - `indexer`: forwards inspections to a `twm-indexer`.
//! - `access`: who may read and who may act.
//! - `pages`: the pages, which run in the browser and use only the API.

mod access;
mod actions;
mod asked;
mod assets;
mod documents;
mod events;
mod graphite;
mod history;
mod indexer;
mod money;
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
pub use graphite::{Graphite, GraphiteClientError};
pub use indexer::{Indexer, IndexerError};
pub use watched::{Watched, WatchedNode};

use asked::Asked;
use events::Feed;
use history::History;
use stream::Observers;

/// The settings of the monitor.
#[derive(Debug, Clone)]
pub struct MonitorSettings {
    /// Who may read, and who may act.
    pub gate: Arc<Gate>,
    /// The indexer for inspections, if any.
    pub indexer: Option<Indexer>,
}

/// The parts of the monitor.
pub struct MonitorParts {
    /// Its access rules, and the indexer.
    pub settings: MonitorSettings,
    /// The cluster's name.
    pub cluster: String,
    /// The node that it monitors.
    pub watched: Arc<dyn Watched>,
    /// The source of older history, if any.
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
    observers: Observers,
    /// The client id of this monitor's writes.
    writer: u64,
    writes: AtomicU64,
    stop: CancellationToken,
}

impl Monitor {
    /// A monitor without any history yet.
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
            observers: Observers::default(),
            writer: entropy.next_u64(),
            writes: AtomicU64::new(0),
            stop: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Records the history and pushes changes to browsers until `stop` is cancelled.
    pub async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep_history() => {}
            () = self.publish() => {}
        }
        // Listeners would keep the port open.
        self.inner.stop.cancel();
    }

    /// The rules about who may read and act.
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
