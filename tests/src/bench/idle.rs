//! Three idle nodes.

use std::time::Duration;

use tokio::time::sleep;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::process::Process;
use super::report::Report;

const NODES: u64 = 3;

/// Time for sessions to open and for the first checkpoints.
const SETTLE: Duration = Duration::from_secs(3);

/// Observation time. With clock ticks of 10 ms, the resolution is 0.1 % of a core.
const WATCH: Duration = Duration::from_secs(10);

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("nodes", NODES);
    report.setting("watched, s", WATCH.as_secs());
    let mut cluster = Cluster::start(Program::Node(Vec::new()), NODES, settings.disks()?).await?;
    sleep(SETTLE).await;
    let leader = cluster.healthy().await?;
    let cpu =
        |cluster: &Cluster| cluster.processes().map(Process::cpu_seconds).collect::<anyhow::Result<Vec<_>>>();
    let before = cpu(&cluster)?;
    sleep(WATCH).await;
    let after = cpu(&cluster)?;
    for ((id, process), (before, after)) in
        cluster.ids().zip(cluster.processes()).zip(before.iter().zip(&after))
    {
        let role = if id == leader { "leader" } else { "follower" };
        let percent = (after - before) / WATCH.as_secs_f64() * 100.0;
        report.add(format!("{role}: CPU"), "% of a core", "< 1", percent);
        let mebibytes = process.resident_bytes()? as f64 / f64::from(1 << 20);
        report.add(format!("{role}: memory"), "MiB resident", "< 60 MB", mebibytes);
    }
    Ok(())
}
