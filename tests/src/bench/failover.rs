//! The leader is killed (SIGKILL) under a client that keeps asking for jobs.

use std::time::Duration;

use anyhow::{Context, ensure};
use raft::model::Operation;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::report::{Report, percentile};
use super::targets::submit;
use super::worker::Worker;

const REPLICAS: u64 = 3;

/// Enough for a client that asks without a pause until the last kill.
const TARGETS: u64 = 2_000_000;

/// A pause in grants longer than this ends the benchmark.
const GIVE_UP: Duration = Duration::from_secs(30);

/// When a job was last granted, and when the report that asked for it was sent.
#[derive(Clone, Copy)]
struct Grant {
    sent: Instant,
    answered: Instant,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("kills a run", settings.kills);
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    submit(&cluster.client(leader), Operation::Timeline, 0..TARGETS).await?;
    let worker = Worker::open(cluster.client(1), 1, 1).await?;
    let start = Instant::now();
    let (tell, grants) = watch::channel(Grant { sent: start, answered: start });
    let asking = tokio::spawn(ask(worker, tell));
    let measured = kill_leaders(settings.kills, &mut cluster, grants).await;
    if asking.is_finished() {
        asking.await?.context("the client that asks for jobs failed")?;
    } else {
        asking.abort();
    }
    let pauses = measured?;
    report.add("leader killed to next grant, median", "ms", "< 400", percentile(&pauses, 0.5));
    report.add("leader killed to next grant, p95", "ms", "", percentile(&pauses, 0.95));
    report.add("leader killed to next grant, worst", "ms", "< 1,000 of 100", percentile(&pauses, 1.0));
    Ok(())
}

async fn ask(mut worker: Worker, tell: watch::Sender<Grant>) -> anyhow::Result<()> {
    while !tell.is_closed() {
        let sent = Instant::now();
        worker.turn(1).await?;
        ensure!(worker.held() == 1, "the targets ran out before the last kill");
        tell.send_replace(Grant { sent, answered: Instant::now() });
    }
    Ok(())
}

/// Times from each kill to the next grant, in ms.
async fn kill_leaders(
    kills: u32,
    cluster: &mut Cluster,
    mut grants: watch::Receiver<Grant>,
) -> anyhow::Result<Vec<f64>> {
    let mut pauses = Vec::new();
    for _ in 0..kills {
        let leader = cluster.healthy().await?;
        let killed = Instant::now();
        cluster.kill(leader).await?;
        // An answer of the dead leader may still be on its way, so the report must be a later one.
        let next = timeout(GIVE_UP, grants.wait_for(|grant| grant.sent >= killed)).await;
        let answered = next.with_context(|| format!("no job was granted for {GIVE_UP:?}"))??.answered;
        pauses.push(answered.duration_since(killed).as_secs_f64() * 1e3);
        cluster.start_node(leader)?;
    }
    Ok(pauses)
}
