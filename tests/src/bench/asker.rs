//! A client that requests jobs continuously and records the time of the last grant.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::worker::Worker;

/// A pause in grants longer than this ends the benchmark.
const GIVE_UP: Duration = Duration::from_secs(120);

/// When jobs were last granted, and when the report that requested them was sent.
#[derive(Clone, Copy)]
struct Grant {
    sent: Instant,
    answered: Instant,
}

/// A running client.
pub(super) struct Asker {
    grants: watch::Receiver<Grant>,
    asking: JoinHandle<anyhow::Result<u64>>,
}

impl Asker {
    /// Requests `jobs` jobs with each report, one report after the other.
    pub(super) fn start(worker: Worker, jobs: u16) -> Self {
        let start = Instant::now();
        let (tell, grants) = watch::channel(Grant { sent: start, answered: start });
        Self { grants, asking: tokio::spawn(ask(worker, jobs, tell)) }
    }

    /// Waits for jobs whose report was sent at or after `moment`, and returns when they were granted. The
    /// answer to an earlier report can still arrive from a node that is dead.
    pub(super) async fn grant_after(&mut self, moment: Instant) -> anyhow::Result<Instant> {
        let next = timeout(GIVE_UP, self.grants.wait_for(|grant| grant.sent >= moment)).await;
        match next.with_context(|| format!("no job was granted for {GIVE_UP:?}"))? {
            Ok(grant) => Ok(grant.answered),
            // The task has ended; its own error has more detail.
            Err(_) => {
                (&mut self.asking).await??;
                anyhow::bail!("the client that asks for jobs has stopped")
            }
        }
    }

    /// Stops the client. Returns the number of jobs that it completed.
    pub(super) async fn end(self) -> anyhow::Result<u64> {
        let Self { grants, asking } = self;
        drop(grants);
        asking.await?.context("the client that asks for jobs failed")
    }
}

async fn ask(mut worker: Worker, jobs: u16, tell: watch::Sender<Grant>) -> anyhow::Result<u64> {
    let mut completed = 0;
    while !tell.is_closed() {
        let sent = Instant::now();
        completed += worker.turn(jobs).await? as u64;
        ensure!(worker.held() > 0, "the targets ran out before the benchmark's end");
        tell.send_replace(Grant { sent, answered: Instant::now() });
    }
    worker.close().await?;
    Ok(completed)
}
