//! Job lifecycles: granted and completed, both on a majority's disks before the answer.

use api::model::{NodeId, Operation};
use tokio::time::Instant;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crew::{Crew, Jobs};
use super::rate::{Stock, Work};
use super::report::Report;
use super::targets::{CHUNK, Targets};
use super::worker::Worker;

/// Jobs that a report completes and requests.
const JOBS: u16 = 256;

/// Smallest submission whose speed is recorded, in targets.
const LARGE: u64 = 100_000;

/// Nodes that the clients connect to.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Entrance {
    /// At the leader.
    Leader,
    /// All nodes in turn, like the workers of the nodes: two of three reports are forwarded.
    Spread,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("jobs a report", JOBS);
    report.setting("window, s", settings.seconds);
    report.setting("targets a chunk", CHUNK);
    for &replicas in &settings.replicas {
        let mut cluster = Cluster::start(Program::Tracker, replicas, settings.disks()?).await?;
        let leader = cluster.healthy().await?;
        let targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
        let mut stock = Stock::default();
        let mut lifecycles = Lifecycles {
            cluster,
            leader,
            targets,
            clients: 1,
            entrance: Entrance::Leader,
            jobs: JOBS,
            submitted: Vec::new(),
        };
        for &clients in &settings.clients {
            for entrance in [Entrance::Leader, Entrance::Spread] {
                if entrance == Entrance::Leader || (replicas > 1 && clients > 1) {
                    (lifecycles.clients, lifecycles.entrance) = (clients, entrance);
                    phase(settings, &mut lifecycles, &mut stock, report).await?;
                }
            }
        }
        let speeds = lifecycles.submitted;
        if !speeds.is_empty() {
            let mean = speeds.iter().sum::<f64>() / speeds.len() as f64;
            report.add(format!("{replicas} replicas: targets submitted by one client"), "ids/s", "", mean);
        }
    }
    Ok(())
}

async fn phase(
    settings: &Settings,
    lifecycles: &mut Lifecycles,
    stock: &mut Stock,
    report: &mut Report,
) -> anyhow::Result<()> {
    lifecycles.leader = lifecycles.cluster.healthy().await?;
    let rate = stock.measure(lifecycles, settings.window()).await?;
    let Lifecycles { cluster, clients, entrance, .. } = lifecycles;
    let size = cluster.ids().count();
    let at = if *entrance == Entrance::Leader { "at the leader" } else { "spread" };
    let what = format!("{size} replicas, {clients} clients {at}");
    let reach = if size == 3 && *clients > 1 { "100,000" } else { "" };
    eprintln!("  {what}: {:.0} jobs/s", rate.a_second());
    report.add(&what, "jobs/s", reach, rate.a_second());
    report.add(format!("{what}: trackers' CPU"), "s/1,000 jobs", "", rate.cpu / rate.jobs * 1e3);
    Ok(())
}

/// Clients of a twm cluster.
pub(super) struct Lifecycles {
    pub(super) cluster: Cluster,
    pub(super) leader: NodeId,
    pub(super) targets: Targets,
    pub(super) clients: u64,
    pub(super) entrance: Entrance,
    /// Jobs that a report completes and requests.
    pub(super) jobs: u16,
    /// Targets per second of each large submission.
    pub(super) submitted: Vec<f64>,
}

impl Work for Lifecycles {
    async fn put(&mut self, jobs: u64) -> anyhow::Result<()> {
        let begin = Instant::now();
        self.targets.add(jobs).await?;
        if jobs >= LARGE {
            self.submitted.push(jobs as f64 / begin.elapsed().as_secs_f64());
        }
        self.cluster.settled().await
    }

    async fn crew(&mut self) -> anyhow::Result<Crew> {
        let doors: Vec<NodeId> = match self.entrance {
            Entrance::Leader => vec![self.leader],
            Entrance::Spread => self.cluster.ids().collect(),
        };
        let mut crew = Crew::default();
        for (client, &door) in (1..=self.clients).zip(doors.iter().cycle()) {
            let worker = Worker::open(self.cluster.client_of(client, door), client, self.jobs.into()).await?;
            crew.add(Jobs { worker, each: self.jobs });
        }
        Ok(crew)
    }

    fn held(&self) -> u64 {
        self.clients * u64::from(self.jobs)
    }

    fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.cluster.cpu_seconds()
    }

    async fn verify(&mut self, finished: u64) -> anyhow::Result<()> {
        self.targets.verify(finished).await
    }
}
