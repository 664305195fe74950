//! Cost of TLS: the same work on a cluster with TLS and on one without.

use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::lifecycles::{Entrance, Lifecycles};
use super::rate::Stock;
use super::report::Report;
use super::targets::Targets;

const REPLICAS: u64 = 3;

/// One per node: a session needs the certificate of its node.
const CLIENTS: u64 = REPLICAS;
const JOBS: u16 = 256;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("clients", CLIENTS);
    report.setting("jobs a report", JOBS);
    report.setting("window, s", settings.seconds);
    let clusters = [
        Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?,
        Cluster::trusting(REPLICAS, settings.disks()?).await?,
    ];
    let mut works = Vec::new();
    for mut cluster in clusters {
        let leader = cluster.healthy().await?;
        let targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
        let (entrance, submitted) = (Entrance::Leader, Vec::new());
        let work = Lifecycles { cluster, leader, targets, clients: CLIENTS, entrance, jobs: JOBS, submitted };
        works.push((work, Stock::default()));
    }
    for entrance in [Entrance::Leader, Entrance::Spread] {
        let at = if entrance == Entrance::Leader { "at the leader" } else { "spread" };
        let mut rates = Vec::new();
        for ((work, stock), tls) in works.iter_mut().zip(["no TLS", "TLS"]) {
            work.entrance = entrance;
            let rate = stock.measure(work, settings.window()).await?.a_second();
            eprintln!("  {at}, {tls}: {rate:.0} jobs/s");
            report.add(format!("{CLIENTS} clients {at}, {tls}"), "jobs/s", "", rate);
            rates.push(rate);
        }
        if let [without, with] = rates[..] {
            report.add(format!("{at}: with TLS, of those without"), "%", "80", with / without * 100.0);
        }
    }
    Ok(())
}
