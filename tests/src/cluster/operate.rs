//! Operates a cluster as an operator does.

use api::TrackerApi;
use std::process::Output;

use anyhow::{Context, bail, ensure};
use api::model::{Answer, ClusterStatus, CrawlId, CrawlPhase, CrawlView, Query};
use serde_json::Value;

use super::{Cluster, Program, ended, eventually};

impl Cluster {
    /// Runs `twm-ctl` in the cluster's folder.
    ///
    /// # Errors
    /// It cannot be started, or does not exit before the deadline.
    pub async fn twm_ctl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.twm_ctl_as("operator-harness", arguments).await
    }

    /// Runs `twm-ctl` with the certificate `name`, if the cluster has certificates.
    ///
    /// # Errors
    /// It cannot be started, or does not exit before the deadline.
    pub async fn twm_ctl_as(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Program::Ctl.command()?;
        command.current_dir(self.folder()).args(["--endpoints", &self.endpoints()]);
        command.args(self.tls_flags(name)).args(arguments);
        ended(&mut command).await
    }

    /// Runs `twm-ctl` and returns the JSON documents that it prints.
    ///
    /// # Errors
    /// `twm-ctl` fails.
    pub async fn ctl_json(&self, arguments: &[&str]) -> anyhow::Result<Vec<Value>> {
        let output = self.twm_ctl(&[&["-o", "json"], arguments].concat()).await?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "twm-ctl {arguments:?} ended with {}: {complaint}", output.status);
        let printed = String::from_utf8(output.stdout).context("twm-ctl prints UTF-8")?;
        printed.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    /// Admits a new disk of a node that is not running; retries until a leader accepts it.
    ///
    /// # Errors
    /// No leader accepts it before the deadline.
    pub async fn replaced(&self, node: u64) -> anyhow::Result<()> {
        eventually(&format!("a new disk of node {node} is let in"), async || {
            let output = self.twm_ctl(&["member", "replace", &node.to_string()]).await?;
            Ok(output.status.success().then_some(()))
        })
        .await
    }

    /// Submits accounts with these flags of `twm-ctl submit`.
    ///
    /// # Errors
    /// `twm-ctl` fails.
    pub async fn submit(&self, accounts: &[u64], flags: &[&str]) -> anyhow::Result<CrawlId> {
        let list: String = accounts.iter().map(|account| format!("{account}\n")).collect();
        let list = self.file("targets", &list)?;
        self.submit_list(&list.to_string_lossy(), flags).await
    }

    /// Submits a list with these flags of `twm-ctl submit`.
    ///
    /// # Errors
    /// `twm-ctl` fails.
    pub async fn submit_list(&self, list: &str, flags: &[&str]) -> anyhow::Result<CrawlId> {
        let printed = self.ctl_json(&[&["submit", list], flags].concat()).await?;
        let crawl = printed.first().and_then(|answer| answer["crawl"].as_u64());
        crawl.map(CrawlId).context("twm-ctl submit printed no crawl")
    }

    /// The status of the cluster, from its leader.
    ///
    /// # Errors
    /// No leader answers before the deadline.
    pub async fn status(&self) -> anyhow::Result<ClusterStatus> {
        match self.client().query(Query::Status).await? {
            Answer::Status(status) => Ok(*status),
            other => bail!("a status query was answered by {other:?}"),
        }
    }

    /// The id of the leader.
    ///
    /// # Errors
    /// No leader answers before the deadline.
    pub async fn leader(&self) -> anyhow::Result<u64> {
        Ok(self.status().await?.leader)
    }

    /// A node that is currently not the leader.
    ///
    /// # Errors
    /// There is none, or no leader answers before the deadline.
    pub async fn follower(&self) -> anyhow::Result<u64> {
        let leader = self.leader().await?;
        self.ids().into_iter().find(|id| *id != leader).context("the cluster has no follower")
    }

    /// A crawl.
    ///
    /// # Errors
    /// There is no crawl with this id, or no leader answers before the deadline.
    pub async fn crawl(&self, id: CrawlId) -> anyhow::Result<CrawlView> {
        match self.client().query(Query::Crawl(id)).await? {
            Answer::Crawl(Some(crawl)) => Ok(*crawl),
            other => bail!("a query for crawl {id} was answered by {other:?}"),
        }
    }

    /// Waits until `like` accepts the crawl.
    ///
    /// # Errors
    /// `like` does not accept it before the deadline.
    pub async fn crawl_until(
        &self,
        id: CrawlId,
        what: &str,
        mut like: impl FnMut(&CrawlView) -> bool,
    ) -> anyhow::Result<CrawlView> {
        let mut last = None;
        let what = format!("of crawl {id} {what}");
        let found = eventually(&what, async || {
            let crawl = self.crawl(id).await?;
            last = Some(crawl.clone());
            Ok(like(&crawl).then_some(crawl))
        })
        .await;
        found.with_context(|| format!("the crawl stands at {last:?}"))
    }

    /// Waits until a crawl is finished; every account must then be in exactly one final state.
    ///
    /// # Errors
    /// The crawl is not finished before the deadline, or its counters do not add up.
    pub async fn finished(&self, id: CrawlId) -> anyhow::Result<CrawlView> {
        let crawl =
            self.crawl_until(id, "nothing is left", |crawl| crawl.phase == CrawlPhase::Finished).await?;
        let users = crawl.counters.users;
        let ended = users.completed + users.gone + users.failed + users.cancelled;
        ensure!(
            users.accepted == ended && users.waiting + users.active == 0,
            "of crawl {id} not all ended: {users:?}"
        );
        ensure!(
            crawl.queued + crawl.ready + crawl.leased + crawl.delayed == 0,
            "crawl {id} has jobs: {crawl:?}"
        );
        Ok(crawl)
    }
}
