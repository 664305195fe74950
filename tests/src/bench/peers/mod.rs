//! Other systems measured in the same run: etcd and Redis as job queues, Scrapy as a crawler.
//!
//! `tests/peers/install` installs their programs in a folder. Each is used in the best way that we know of;
//! the settings describe it, and what is durable when a request is answered.

mod etcd;
mod grpc;
mod redis;
mod scrapy;

use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::lifecycles::{Entrance, Lifecycles};
use super::rate::{Rate, Stock, Work};
use super::report::Report;
use super::targets::Targets;
use etcd::{Etcd, Recipe};

/// Numbers of clients, and of jobs per request.
const SHAPES: [(u64, u16); 3] = [(1, 1), (16, 1), (16, 32)];

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("jobs", "that one request takes");
    report.setting("window, s", settings.seconds);
    for (clients, jobs) in SHAPES {
        let shape = Shape { clients, jobs };
        ours(settings, shape, report).await?;
        for (recipe, who) in [(Recipe::Two, "etcd, two transactions"), (Recipe::One, "etcd, one transaction")]
        {
            let peer = Etcd::start(settings, recipe, clients, jobs).await?;
            report.setting("etcd", format!("{}: {}", peer.version(), etcd::METHOD));
            shape.measure(who, peer, settings, report).await?;
        }
        let peer = redis::Redis::start(settings, clients, jobs).await?;
        report.setting("redis", format!("{}: {}", peer.version(), redis::METHOD));
        shape.measure("redis", peer, settings, report).await?;
    }
    scrapy::measure(settings, report).await
}

/// Number of clients, and jobs per request.
#[derive(Clone, Copy)]
struct Shape {
    clients: u64,
    jobs: u16,
}

impl Shape {
    async fn measure(
        self,
        who: &str,
        mut work: impl Work,
        settings: &Settings,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let rate = Stock::default().measure(&mut work, settings.window()).await?;
        self.add(who, &rate, report);
        Ok(())
    }

    fn add(self, who: &str, rate: &Rate, report: &mut Report) {
        let Self { clients, jobs } = self;
        let what = format!("{clients} clients, {jobs} jobs: {who}");
        eprintln!("  {what}: {:.0} jobs/s", rate.a_second());
        report.add(&what, "jobs/s", "", rate.a_second());
        report.add(format!("{what}: servers' CPU"), "s/1,000 jobs", "", rate.cpu / rate.jobs * 1e3);
    }
}

async fn ours(settings: &Settings, shape: Shape, report: &mut Report) -> anyhow::Result<()> {
    report.setting(
        "twm",
        "3 replicas, synced on a majority's disks before each answer; a report completes jobs and takes the next",
    );
    let mut cluster = Cluster::start(Program::Tracker, 3, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    let targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
    let Shape { clients, jobs } = shape;
    let entrance = Entrance::Leader;
    let work = Lifecycles { cluster, leader, targets, clients, entrance, jobs, submitted: Vec::new() };
    shape.measure("twm", work, settings, report).await
}
