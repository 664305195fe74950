//! Round trips of one client with one job at a time, on an otherwise idle cluster.

use api::model::Operation;
use tokio::time::Instant;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::report::{Report, percentile};
use super::targets::Targets;
use super::worker::Worker;

/// Jobs taken and completed, each with its own report.
const JOBS: u64 = 1_000;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("jobs", JOBS);
    for &replicas in &settings.replicas {
        let mut cluster = Cluster::start(Program::Tracker, replicas, settings.disks()?).await?;
        let leader = cluster.healthy().await?;
        let follower = cluster.ids().find(|&id| id != leader);
        let doors = [("at the leader", Some(leader)), ("at a follower", follower)];
        for (at, door) in doors.into_iter().filter_map(|(at, door)| Some((at, door?))) {
            let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
            targets.add(JOBS).await?;
            let worker = Worker::open(cluster.client(door), 1, 1).await?;
            let [grants, completions] = round_trips(worker).await?;
            targets.verify(JOBS).await?;
            let what = |step: &str| format!("{replicas} replicas, {step} {at}");
            report.add(format!("{} median", what("grant")), "ms", "< 1", percentile(&grants, 0.5));
            report.add(format!("{} p99", what("grant")), "ms", "", percentile(&grants, 0.99));
            report.add(format!("{} median", what("completion")), "ms", "< 1", percentile(&completions, 0.5));
        }
    }
    Ok(())
}

/// Durations of all grants and all completions, in ms.
async fn round_trips(mut worker: Worker) -> anyhow::Result<[Vec<f64>; 2]> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..JOBS {
        for (step, want) in [1, 0].into_iter().enumerate() {
            let begin = Instant::now();
            worker.turn(want).await?;
            times[step].push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    worker.close().await?;
    Ok(times)
}
