//! The tracker's side of a crawling node: takes jobs and reports on them at once.

use anyhow::{Context, ensure};
use api::TrackerApi;
use api::client::Client;
use api::model::{
    Finding, JobId, LeaseId, NodeId, OpenSession, Progress, Report, SessionId, StorageId, Wants,
};
use storage::env::{Entropy, SystemEntropy};
use storage::ids::UserId;

/// One node's session.
pub(super) struct Worker {
    client: Client,
    node: NodeId,
    session: SessionId,
    sequence: u64,
    held: Vec<(JobId, LeaseId)>,
    /// Jobs reported on so far.
    finished: u64,
    failing_every: Option<u64>,
}

impl Worker {
    /// Opens a session for a node.
    pub(super) async fn open(client: Client, node: NodeId, workers: u32) -> anyhow::Result<Self> {
        let incarnation = SystemEntropy::new().next_u64();
        let open =
            OpenSession { node, incarnation, storage: StorageId(node), workers, shared: false, adopt: false };
        let session = client.open_session(open).await?.session;
        Ok(Self { client, node, session, sequence: 0, held: Vec::new(), finished: 0, failing_every: None })
    }

    /// Makes every `jobs`-th job fail for good.
    pub(super) fn failing_every(mut self, jobs: u64) -> Self {
        self.failing_every = Some(jobs);
        self
    }

    /// One report: finishes the held jobs and requests up to `want` new ones. Returns the number of finished
    /// jobs.
    pub(super) async fn turn(&mut self, want: u16) -> anyhow::Result<usize> {
        let held = std::mem::take(&mut self.held);
        let done = held.into_iter().map(|(job, lease)| (job, lease, self.outcome())).collect::<Vec<_>>();
        let count = done.len();
        self.held = self.report(done, want).await?;
        Ok(count)
    }

    /// One report of analyses: each batch was looked up and admitted for one of the held jobs.
    pub(super) async fn discover(&mut self, batches: Vec<Vec<UserId>>) -> anyhow::Result<()> {
        ensure!(batches.len() <= self.held.len(), "there are more batches than jobs");
        let progress = Progress { cursor: self.sequence.to_string(), draft: None };
        let discovered = |((job, lease), admitted): (&(JobId, LeaseId), Vec<UserId>)| {
            let progress = progress.clone();
            (*job, *lease, Finding::Discovered { admitted, discarded: Vec::new(), progress })
        };
        let findings = self.held.iter().zip(batches).map(discovered).collect();
        let granted = self.report(findings, 0).await?;
        ensure!(granted.is_empty(), "jobs were granted that nobody asked for");
        Ok(())
    }

    fn outcome(&mut self) -> Finding {
        self.finished += 1;
        match self.failing_every {
            Some(every) if self.finished % every == 0 => {
                let reason = "the server answered 500 Internal Server Error".to_owned();
                Finding::Failed { progress: None, reason, after_ms: 0, retry: false }
            }
            _ => Finding::Completed { file: false, items: 1 },
        }
    }

    async fn report(
        &mut self,
        findings: Vec<(JobId, LeaseId, Finding)>,
        want: u16,
    ) -> anyhow::Result<Vec<(JobId, LeaseId)>> {
        self.sequence += 1;
        let report =
            Report { session: self.session, sequence: self.sequence, findings, wants: Wants::any(want) };
        let answer = self.client.report(self.node, report, Vec::new()).await.context("report")?;
        ensure!(answer.stale.is_empty(), "jobs were taken from a session that is alive");
        Ok(answer.granted.iter().map(|job| (job.id, job.lease)).collect())
    }

    /// Number of held jobs.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Returns the held jobs and ends the session.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.client.end_session(self.node, self.session).await?;
        Ok(())
    }
}
