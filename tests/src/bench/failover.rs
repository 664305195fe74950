//! Kills the leader (SIGKILL) while a client requests jobs continuously.

use api::model::Operation;
use tokio::time::Instant;

use super::Settings;
use super::asker::Asker;
use super::cluster::{Cluster, Program};
use super::report::{Report, percentile};
use super::targets::Targets;
use super::worker::Worker;

const REPLICAS: u64 = 3;

/// Targets per kill: enough for a client that requests jobs without a pause.
const TARGETS: u64 = 30_000;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("kills a run", settings.kills);
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
    targets.add(TARGETS * u64::from(settings.kills)).await?;
    let mut asker = Asker::start(Worker::open(cluster.client(1), 1, 1).await?, 1);
    let mut pauses = Vec::new();
    for kill in 1..=settings.kills {
        let leader = cluster.healthy().await?;
        let killed = Instant::now();
        cluster.kill(leader).await?;
        let pause = asker.grant_after(killed).await?.duration_since(killed).as_secs_f64() * 1e3;
        cluster.start_node(leader)?;
        pauses.push(pause);
        if kill % 10 == 0 {
            eprintln!("  {kill} kills, worst pause so far {:.0} ms", percentile(&pauses, 1.0));
        }
    }
    let completed = asker.end().await?;
    cluster.healthy().await?;
    targets.verify(completed).await?;
    report.add("leader killed to next grant, median", "ms", "< 400", percentile(&pauses, 0.5));
    report.add("leader killed to next grant, p95", "ms", "", percentile(&pauses, 0.95));
    report.add("leader killed to next grant, worst", "ms", "< 1,000 of 100", percentile(&pauses, 1.0));
    Ok(())
}
