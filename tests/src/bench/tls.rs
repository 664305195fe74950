//! What TLS costs: the same lifecycles without it and with it, in turn.

use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::lifecycles::{Entrance, Lifecycles};
use super::rate::Stock;
use super::report::Report;
use super::targets::Targets;

const REPLICAS: u64 = 3;
const CLIENTS: u64 = 16;
const JOBS: u16 = 256;

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("clients, jobs a report", format!("{CLIENTS}, {JOBS}"));
    for entrance in [Entrance::Leader, Entrance::Spread] {
        let at = if entrance == Entrance::Leader { "at the leader" } else { "spread" };
        let mut rates = Vec::new();
        for tls in [false, true] {
            let mut cluster = match tls {
                false => Cluster::start(Program::Tracker, REPLICAS, settings.disks()?).await?,
                true => Cluster::trusting(REPLICAS, settings.disks()?).await?,
            };
            let leader = cluster.healthy().await?;
            let targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
            let (clients, jobs, submitted) = (CLIENTS, JOBS, Vec::new());
            let mut work = Lifecycles { cluster, leader, targets, clients, entrance, jobs, submitted };
            rates.push(Stock::default().measure(&mut work, settings.window()).await?.a_second());
        }
        eprintln!("  {at}: {:.0} and {:.0} jobs/s", rates[0], rates[1]);
        report.add(format!("{at}, without TLS"), "jobs/s", "", rates[0]);
        report.add(format!("{at}, with TLS"), "jobs/s", "", rates[1]);
        report.add(format!("{at}, with TLS of those without"), "%", "80", rates[1] / rates[0] * 100.0);
    }
    Ok(())
}
