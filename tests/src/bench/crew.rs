//! Clients in closed loops: each sends its next request when the previous one is answered.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::pauses::Pauses;
use super::worker::Worker;

/// One client of a measured system.
pub(super) trait Turns: Send + 'static {
    /// One round. Returns the number of jobs finished, and whether further jobs were granted.
    fn turn(&mut self) -> impl Future<Output = anyhow::Result<Turn>> + Send;

    /// Leaves nothing behind.
    fn close(self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Result of one round.
pub(super) struct Turn {
    /// Jobs finished.
    pub(super) done: u64,
    /// Whether further jobs were granted.
    pub(super) granted: bool,
}

/// Clients at work.
#[derive(Default)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    loops: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Shared {
    done: AtomicU64,
    stop: AtomicBool,
    starved: AtomicBool,
    pauses: Pauses,
}

impl Crew {
    /// Starts a client.
    pub(super) fn add(&mut self, mut client: impl Turns) {
        let shared = Arc::clone(&self.shared);
        self.loops.spawn(async move {
            let mut last = Instant::now();
            while !shared.stop.load(Ordering::Relaxed) {
                let Turn { done, granted } = client.turn().await?;
                shared.done.fetch_add(done, Ordering::Relaxed);
                if !granted {
                    shared.starved.store(true, Ordering::Relaxed);
                    break;
                }
                shared.pauses.granted(&mut last);
            }
            client.close().await
        });
    }

    /// Jobs finished so far.
    pub(super) fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Whether a client was granted no job and has stopped.
    pub(super) fn starved(&self) -> bool {
        self.shared.starved.load(Ordering::Relaxed)
    }

    /// The pauses between grants.
    pub(super) fn pauses(&self) -> &Pauses {
        &self.shared.pauses
    }

    /// Ends all clients.
    pub(super) async fn dismiss(mut self) -> Dismissed {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut errors = Vec::new();
        while let Some(ended) = self.loops.join_next().await {
            errors.extend(ended.map_err(anyhow::Error::from).and_then(|result| result).err());
        }
        Dismissed { done: self.done(), starved: self.starved(), errors }
    }
}

/// Results of the clients.
pub(super) struct Dismissed {
    /// Total jobs finished.
    pub(super) done: u64,
    /// Whether the jobs ran out.
    pub(super) starved: bool,
    /// The error of each client that failed.
    pub(super) errors: Vec<anyhow::Error>,
}

impl Dismissed {
    /// Total jobs finished, if no client failed and the jobs did not run out.
    pub(super) fn all_well(self) -> anyhow::Result<u64> {
        ensure!(!self.starved, "the jobs ran out before the time did");
        self.without_errors()
    }

    /// Total jobs finished, if no client failed; the jobs may have run out.
    pub(super) fn without_errors(self) -> anyhow::Result<u64> {
        match self.errors.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(self.done),
        }
    }
}

/// A client that takes up to `each` jobs with each report and finishes them with the next.
pub(super) struct Jobs {
    pub(super) worker: Worker,
    pub(super) each: u16,
}

impl Turns for Jobs {
    async fn turn(&mut self) -> anyhow::Result<Turn> {
        let done = self.worker.turn(self.each).await? as u64;
        Ok(Turn { done, granted: self.worker.held() > 0 })
    }

    async fn close(self) -> anyhow::Result<()> {
        self.worker.close().await
    }
}
