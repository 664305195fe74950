//! A node with a large frontier is killed (SIGKILL) under load and started again.

use anyhow::ensure;
use api::model::Operation;
use tokio::time::Instant;

use super::Settings;
use super::asker::Asker;
use super::cluster::{Cluster, Program};
use super::process::disk_bytes;
use super::report::Report;
use super::targets::Targets;
use super::worker::Worker;

/// Jobs that the client takes with each report. It works for about one checkpoint interval before each kill,
/// so that the start also has to replay a log.
const JOBS: u16 = 16;

const WORKS: std::time::Duration = std::time::Duration::from_millis(1_500);

/// Loads once, then kills and restarts once per run.
pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", 1);
    report.setting("users in the frontier", settings.frontier);
    let mut cluster = Cluster::start(Program::Tracker, 1, settings.disks()?).await?;
    let node = cluster.healthy().await?;
    let mut targets = Targets::open(cluster.client(node), Operation::Timeline, 0).await?;
    targets.add(settings.frontier).await?;
    cluster.settled().await?;
    eprintln!("  {} users are submitted", settings.frontier);
    let mut completed = 0;
    for run in 1..=settings.runs {
        let mut asker = Asker::start(Worker::open(cluster.client(node), 1, 1).await?, JOBS);
        tokio::time::sleep(WORKS).await;
        asker.grant_after(Instant::now()).await?;
        cluster.kill(node).await?;
        let started = Instant::now();
        cluster.start_node(node)?;
        let seconds = asker.grant_after(started).await?.duration_since(started).as_secs_f64();
        let cpu = cluster.cpu_seconds()?;
        completed += asker.end().await?;
        targets.verify(completed).await?;
        let users = targets.view().await?.counters.users;
        ensure!(users.waiting > 0, "the frontier is empty: {users:?}");
        eprintln!("  run {run} of {}: {seconds:.2} s", settings.runs);
        report.add("killed node started to first job granted", "s", "3", seconds);
        report.add("the node's CPU until then", "s", "", cpu);
        let process = cluster.process(node)?;
        let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        report.add("memory after the start", "MiB resident", "", mebibytes(process.resident_bytes()?));
        report.add("most memory during the start", "MiB resident", "", mebibytes(process.peak_bytes()?));
        report.add("data directory", "MiB", "", mebibytes(disk_bytes(&cluster.data_dir(node))?));
    }
    Ok(())
}
