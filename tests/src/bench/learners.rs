//! Three voters and many learners on this machine.

use std::time::Duration;

use anyhow::Context;
use api::model::{NodeId, Operation};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::full_load::FullLoad;
use super::process::Process;
use super::report::{Report, percentile};
use super::targets::Targets;
use super::worker::Worker;

const VOTERS: u64 = 3;
const LEARNERS: u64 = 22;
const CLIENTS: u64 = 16;
const JOBS: u16 = 256;

/// Time for the first checkpoints.
const SETTLE: Duration = Duration::from_secs(3);

/// Observation time of the idle cluster. With clock ticks of 10 ms, the resolution is 0.05 % of a core.
const WATCH: Duration = Duration::from_secs(20);

/// Lifecycles per second while the lag is measured, in reports of [`JOBS`] jobs.
const PACE: u64 = 10_000;

/// Number of lag samples.
const LOOKS: u32 = 40;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("voters, learners", format!("{VOTERS}, {LEARNERS}"));
    let mut cluster = Cluster::start(Program::Tracker, VOTERS + LEARNERS, settings.disks()?).await?;
    cluster.healthy().await?;
    sleep(SETTLE).await;
    idle(&cluster, report).await?;
    lifecycles(settings, &cluster, report).await?;
    let leader = cluster.healthy().await?;
    cluster.settled().await?;
    lag(&cluster, leader, report).await
}

/// CPU time of idle learners.
async fn idle(cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let cpu = || {
        let learners = cluster.ids().zip(cluster.processes()).filter(|(id, _)| *id > VOTERS);
        learners.map(|(_, process): (NodeId, &Process)| process.cpu_seconds()).sum::<anyhow::Result<f64>>()
    };
    let before = cpu()?;
    sleep(WATCH).await;
    let percent = (cpu()? - before) / LEARNERS as f64 / WATCH.as_secs_f64() * 100.0;
    eprintln!("  an idle learner: {percent:.2} % of a core");
    report.add("an idle learner: CPU", "% of a core", "< 0.5", percent);
    Ok(())
}

/// Lifecycles per second of clients at all nodes, as with the nodes' own workers.
async fn lifecycles(settings: &Settings, cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    let load = FullLoad::start(cluster, CLIENTS, JOBS, None).await?;
    sleep(SETTLE).await;
    let (began, before) = (Instant::now(), load.done());
    sleep(settings.window()).await;
    let rate = (load.done() - before) as f64 / began.elapsed().as_secs_f64();
    let ended = load.end().await?;
    ended.targets.verify(ended.dismissed.all_well()?).await?;
    eprintln!("  {rate:.0} jobs/s");
    report.add(format!("lifecycles, {CLIENTS} clients spread"), "jobs/s", "40,000", rate);
    Ok(())
}

/// Time until the slowest learner has applied the leader's log.
async fn lag(cluster: &Cluster, leader: NodeId, report: &mut Report) -> anyhow::Result<()> {
    let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
    targets.add(60 * PACE).await?;
    let mut worker = Worker::open(cluster.client(leader), 1, u32::from(JOBS)).await?;
    let paced = tokio::spawn(async move {
        let mut turns = interval(Duration::from_secs(1) * u32::from(JOBS) / PACE as u32);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..50 * PACE / u64::from(JOBS) {
            turns.tick().await;
            worker.turn(JOBS).await?;
        }
        worker.turn(0).await?;
        worker.close().await
    });
    let mut lags = Vec::new();
    for look in 0..LOOKS {
        let goal = cluster.status(leader).await.context("the leader does not answer")?.last_log;
        let began = Instant::now();
        // Learners are polled one after the other; one that is not behind takes one call.
        for learner in cluster.ids().filter(|id| *id > VOTERS) {
            while cluster.status(learner).await.is_none_or(|status| status.applied < goal) {}
        }
        lags.push(began.elapsed().as_secs_f64() * 1e3);
        if paced.is_finished() {
            anyhow::bail!("the load ended before look {look}");
        }
    }
    paced.abort();
    report.add(
        format!("lag of the slowest learner at {PACE}/s, worst of {LOOKS}"),
        "ms",
        "< 1,000",
        percentile(&lags, 1.0),
    );
    Ok(())
}
