//! Planned leader changes under full load: by a transfer, and by stopping the leader's node.

use api::TrackerApi;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::full_load::FullLoad;
use super::report::{Report, percentile};

const REPLICAS: u64 = 3;
const CLIENTS: u64 = 4;
const JOBS: u16 = 64;

/// Observation time from the start of a change.
const WATCH: Duration = Duration::from_millis(700);

/// How the leader changes.
#[derive(Clone, Copy)]
enum Change {
    /// No change: the baseline of the pauses in grants.
    None,
    /// `twm-ctl leader transfer`.
    Transfer,
    /// SIGTERM to the leader's node, which is then started again.
    Stop,
}

/// Longest times without a grant, one value per change, in ms.
#[derive(Default)]
struct Found {
    to_any: Vec<f64>,
    to_one: Vec<f64>,
    call: Vec<f64>,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("clients, spread", CLIENTS);
    report.setting("jobs a report", JOBS);
    report.setting("changes of each kind a run", settings.handovers);
    let mut cluster = Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?;
    cluster.healthy().await?;
    let load = FullLoad::start(&cluster, CLIENTS, JOBS, None).await?;
    sleep(WATCH).await;
    for (change, name) in [
        (Change::None, "no change"),
        (Change::Transfer, "leader transferred"),
        (Change::Stop, "leader's node stopped"),
    ] {
        let mut found = Found::default();
        for _ in 0..settings.handovers {
            watch(&mut cluster, &load, change, &mut found).await?;
        }
        let reach = if matches!(change, Change::None) { "" } else { "< 50" };
        let worst = percentile(&found.to_any, 1.0);
        eprintln!("  {name}: {worst:.0} ms without a grant at worst");
        let median = percentile(&found.to_any, 0.5);
        report.add(format!("{name}: longest pause in grants, median"), "ms", reach, median);
        report.add(format!("{name}: longest pause in grants, worst"), "ms", reach, worst);
        let worst = percentile(&found.to_one, 1.0);
        report.add(format!("{name}: longest wait of one client, worst"), "ms", "", worst);
        if matches!(change, Change::Transfer) {
            report.add(format!("{name}: the call, median"), "ms", "", percentile(&found.call, 0.5));
        }
    }
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

async fn watch(
    cluster: &mut Cluster,
    load: &FullLoad,
    change: Change,
    found: &mut Found,
) -> anyhow::Result<()> {
    let leader = cluster.healthy().await?;
    let done = load.done();
    load.pauses().take();
    let begin = Instant::now();
    match change {
        Change::None => {}
        Change::Transfer => {
            let moved = cluster.client(leader).transfer_leader(None).await?;
            ensure!(moved != leader, "node {leader} still leads");
            found.call.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        Change::Stop => cluster.stop_node(leader).await?,
    }
    sleep(WATCH.saturating_sub(begin.elapsed())).await;
    let longest = load.pauses().take();
    ensure!(load.done() > done, "no job was finished");
    found.to_any.push(longest.to_any.as_secs_f64() * 1e3);
    found.to_one.push(longest.to_one.as_secs_f64() * 1e3);
    if matches!(change, Change::Stop) {
        cluster.start_node(leader)?;
        cluster.healthy().await?;
    }
    Ok(())
}
