//! Members added, replaced, moved and removed at half of full load.

use std::time::Duration;

use anyhow::{Context, ensure};
use api::TrackerApi;
use api::model::{NodeId, Write};
use api::wire::MemberRequest;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program, free_address};
use super::full_load::FullLoad;
use super::report::Report;

const REPLICAS: u64 = 3;
const CLIENTS: u64 = 4;
const JOBS: u16 = 64;

/// The node that is added and later removed.
const NEW: NodeId = REPLICAS + 1;

/// Warm-up time, and observation time after each change. Full load is measured for twice as long.
const WATCH: Duration = Duration::from_secs(1);

/// Timeout of a change.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("clients, spread", CLIENTS);
    report.setting("jobs a report", JOBS);
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    let full = full_load(&cluster).await?;
    let load = FullLoad::paced(&cluster, CLIENTS, JOBS, full / 2.0).await?;
    eprintln!("  full load: {full:.0} jobs/s");
    report.add("full load, twice what goes on during the changes", "jobs/s", "", full);
    sleep(WATCH).await;
    let mut watched = Watched { load: &load, report };
    watched.during("no change", async || Ok(())).await?;
    let [first, second] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        anyhow::bail!("node {leader} leads a cluster of {REPLICAS}");
    };
    watched.during("node added", async || add(&mut cluster, leader).await).await?;
    watched.during("node made a voter", async || promote(&cluster, leader).await).await?;
    watched.during("disk of a voter replaced", async || replace(&mut cluster, leader, first).await).await?;
    watched.during("voter moved", async || move_away(&mut cluster, leader, second).await).await?;
    watched.during("voter removed", async || remove(&mut cluster, leader).await).await?;
    let ended = load.end().await?;
    report.add("clients that met an error", "clients", "0", ended.dismissed.errors.len() as f64);
    for error in &ended.dismissed.errors {
        eprintln!("  a client ended: {error:#}");
    }
    if ended.dismissed.errors.is_empty() {
        cluster.healthy().await?;
        ended.targets.verify(ended.dismissed.all_well()?).await?;
    }
    Ok(())
}

/// Jobs per second of clients that are not paced.
async fn full_load(cluster: &Cluster) -> anyhow::Result<f64> {
    let load = FullLoad::start(cluster, CLIENTS, JOBS, None).await?;
    sleep(WATCH).await;
    let (began, before) = (Instant::now(), load.done());
    sleep(WATCH * 2).await;
    let rate = (load.done() - before) as f64 / began.elapsed().as_secs_f64();
    let crawl = load.crawl();
    load.end().await?.dismissed.all_well()?;
    // The next clients would also be granted its jobs.
    cluster.client(1).write(Write::CancelCrawl { crawl }).await?;
    Ok(rate)
}

struct Watched<'a> {
    load: &'a FullLoad,
    report: &'a mut Report,
}

impl Watched<'_> {
    /// Measures the longest pause in grants from the start of a change until [`WATCH`] after its end.
    async fn during(
        &mut self,
        what: &str,
        change: impl AsyncFnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let done = self.load.done();
        self.load.pauses().take();
        let began = Instant::now();
        change().await.with_context(|| what.to_owned())?;
        let took = began.elapsed();
        sleep(WATCH).await;
        let longest = self.load.pauses().take();
        ensure!(self.load.done() > done, "no job was finished: {what}");
        let (any, one) = (longest.to_any.as_secs_f64() * 1e3, longest.to_one.as_secs_f64() * 1e3);
        eprintln!(
            "  {what}, in {:.1} s: {any:.0} ms without a grant, {one:.0} ms to one client",
            took.as_secs_f64()
        );
        let reach = if what == "no change" { "" } else { "< 50" };
        self.report.add(format!("{what}: longest pause in grants"), "ms", reach, any);
        self.report.add(format!("{what}: longest wait of one client"), "ms", "", one);
        Ok(())
    }
}

async fn add(cluster: &mut Cluster, leader: NodeId) -> anyhow::Result<()> {
    let address = free_address()?;
    let request = MemberRequest::Add { node: NEW, address: address.clone() };
    cluster.client(leader).change_members(request).await?;
    cluster.join_tracker(NEW, &address)?;
    caught_up(cluster, leader, NEW).await
}

/// The client repeats the request while the new node lags.
async fn promote(cluster: &Cluster, leader: NodeId) -> anyhow::Result<()> {
    Ok(cluster.client(leader).change_members(MemberRequest::Promote { node: NEW }).await?)
}

async fn replace(cluster: &mut Cluster, leader: NodeId, node: NodeId) -> anyhow::Result<()> {
    cluster.kill(node).await?;
    cluster.wipe(node)?;
    cluster.client(leader).replace_disk(node, None).await?;
    cluster.start_node(node)?;
    caught_up(cluster, leader, node).await
}

async fn move_away(cluster: &mut Cluster, leader: NodeId, node: NodeId) -> anyhow::Result<()> {
    let address = free_address()?;
    cluster.stop_node(node).await?;
    cluster.move_to(node, address.clone());
    cluster.start_node(node)?;
    within_patience(&format!("node {node} answers at {address}"), async || cluster.status(node).await)
        .await?;
    cluster.client(leader).change_members(MemberRequest::SetAddress { node, address }).await?;
    caught_up(cluster, leader, node).await
}

async fn remove(cluster: &mut Cluster, leader: NodeId) -> anyhow::Result<()> {
    cluster.client(leader).change_members(MemberRequest::Remove { node: NEW }).await?;
    cluster.forget(NEW).await
}

/// Waits until a node has applied the leader's log as of the call.
async fn caught_up(cluster: &Cluster, leader: NodeId, node: NodeId) -> anyhow::Result<()> {
    let goal = cluster.status(leader).await.context("the leader does not answer")?.last_log;
    let has_all = async || cluster.status(node).await.filter(|status| status.applied >= goal);
    within_patience(&format!("node {node} has caught up"), has_all).await
}

async fn within_patience<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> anyhow::Result<()> {
    let began = Instant::now();
    while look().await.is_none() {
        ensure!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(LOOK_PAUSE).await;
    }
    Ok(())
}
