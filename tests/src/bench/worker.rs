//! The tracker's side of a crawling node: takes jobs and completes them at once.

use anyhow::ensure;
use raft::client::Client;
use raft::model::{
    Finding, JobId, LeaseId, Mutation, NodeId, OpenSession, Report, SessionId, StorageId, Wants,
};
use storage::env::{Entropy, SystemEntropy};

/// One node's session.
pub(super) struct Worker {
    client: Client,
    session: SessionId,
    sequence: u64,
    held: Vec<(JobId, LeaseId)>,
}

impl Worker {
    /// Opens a session in the name of a node.
    pub(super) async fn open(client: Client, node: NodeId, workers: u32) -> anyhow::Result<Self> {
        let incarnation = SystemEntropy::new().next_u64();
        let open = OpenSession { node, incarnation, storage: StorageId(node), workers };
        let session = client.open_session(open).await?.session;
        Ok(Self { client, session, sequence: 0, held: Vec::new() })
    }

    /// One report: completes what is held and asks for up to `want` jobs. Returns how many were
    /// completed.
    pub(super) async fn turn(&mut self, want: u16) -> anyhow::Result<usize> {
        self.sequence += 1;
        let done = |(job, lease)| (job, lease, Finding::Completed { file: false, items: 1 });
        let findings: Vec<_> = self.held.drain(..).map(done).collect();
        let completed = findings.len();
        let wants = Wants::any(want);
        let report = Report { session: self.session, sequence: self.sequence, findings, wants };
        let answer = self.client.report(report).await?;
        ensure!(answer.stale.is_empty(), "jobs were taken from a session that is alive");
        self.held = answer.granted.iter().map(|job| (job.id, job.lease)).collect();
        Ok(completed)
    }

    /// Jobs that it holds.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Gives back what it holds and ends the session.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.client.mutate(Mutation::EndSession { session: self.session, graceful: true }).await?;
        Ok(())
    }
}
