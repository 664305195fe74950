//! A node with an empty disk joins a cluster with a large frontier through a snapshot.

use api::TrackerApi;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use api::model::{Answer, MemberStatus, NodeId, Operation, Query};
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crew::{Crew, Jobs};
use super::report::Report;
use super::targets::Targets;
use super::worker::Worker;

const REPLICAS: u64 = 3;

/// Entries written after the submission: more than a leader keeps behind its last checkpoint, so that an
/// empty node needs a snapshot.
const ENTRIES: u64 = 12_000;

/// Clients that write these entries, one job per report.
const CLIENTS: u64 = 16;

/// Timeout of an installation.
const PATIENCE: Duration = Duration::from_secs(300);

/// Poll interval of the node.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Loads once, then replaces the disk of a follower once per run.
pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("users in the frontier", settings.frontier);
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    let mut leader = cluster.healthy().await?;
    let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
    targets.add(settings.frontier).await?;
    let completed = fill_the_log(&cluster, leader).await?;
    cluster.settled().await?;
    eprintln!("  {} users are submitted", settings.frontier);
    for run in 1..=settings.runs {
        let empty = cluster.ids().find(|&id| id != leader).context("there is no follower")?;
        cluster.kill(empty).await?;
        cluster.wipe(empty)?;
        cluster.client(leader).replace_disk(empty, None).await?;
        let snapshots_before = snapshots(&cluster, leader)?;
        let goal = cluster.status(leader).await.context("the leader does not answer")?.last_log;
        let started = Instant::now();
        cluster.start_node(empty)?;
        let seconds = caught_up(&cluster, leader, empty, goal, started).await?;
        let sent = snapshots(&cluster, leader)?.into_iter().find(|file| !snapshots_before.contains(file));
        let (_, bytes) = sent.context("the leader has sent no snapshot: the log was enough")?;
        eprintln!("  run {run} of {}: {seconds:.2} s", settings.runs);

        // To prove that its state is complete, the node becomes the leader and answers for the crawl.
        cluster.healthy().await?;
        let moved = cluster.client(leader).transfer_leader(Some(empty)).await?;
        ensure!(moved == empty, "node {moved} leads, not node {empty}");
        leader = cluster.healthy().await?;
        targets.verify(completed).await?;
        cluster.settled().await?;
        report.add("empty node started to caught up and voting", "s", "", seconds);
        report.add("snapshot", "MiB", "", bytes as f64 / f64::from(1 << 20));
        let peak = cluster.process(empty)?.peak_bytes()? as f64 / f64::from(1 << 20);
        report.add("most memory of the empty node", "MiB resident", "", peak);
    }
    Ok(())
}

/// Completes jobs until [`ENTRIES`] jobs are done. Returns the number of completed jobs.
async fn fill_the_log(cluster: &Cluster, leader: NodeId) -> anyhow::Result<u64> {
    let mut crew = Crew::default();
    for client in 1..=CLIENTS {
        let worker = Worker::open(cluster.client(leader), client, 1).await?;
        crew.add(Jobs { worker, each: 1 });
    }
    while crew.done() < ENTRIES {
        sleep(LOOK_PAUSE).await;
    }
    crew.dismiss().await.all_well()
}

/// Waits until a node has applied all entries up to `goal` and its new disk is a voter. Returns the seconds since its
/// start.
async fn caught_up(
    cluster: &Cluster,
    leader: NodeId,
    node: NodeId,
    goal: u64,
    started: Instant,
) -> anyhow::Result<f64> {
    while started.elapsed() < PATIENCE {
        if let Some(own) = cluster.status(node).await.filter(|status| status.applied >= goal) {
            let Answer::Status(status) = cluster.client(leader).query(Query::Status).await? else {
                bail!("a status query was answered by something else");
            };
            let votes = |member: &MemberStatus| member.voter && member.disk == own.disk;
            if status.nodes.iter().any(votes) && status.changes.is_empty() {
                return Ok(started.elapsed().as_secs_f64());
            }
        }
        sleep(LOOK_PAUSE).await;
    }
    bail!("the empty node has not caught up after {PATIENCE:?}")
}

/// Snapshots that a node has ready to send, with their sizes.
fn snapshots(cluster: &Cluster, node: NodeId) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(cluster.data_dir(node).join("snapshots"))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("out-") {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(found)
}
