//! The same timelines on files and in stores, which share the machine.

use anyhow::Context;
use api::TrackerApi;
use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl::{Cost, crawl, emulate};
use super::report::Report;
use super::store_places::StorePlace;
use crate::cluster::Page;

/// Tweets and seconds of a crawl.
struct Measured {
    cost: Cost,
    tweets: f64,
    /// Requests to the store.
    requests: f64,
}

impl Measured {
    fn node_cpu(&self) -> f64 {
        self.cost.node_cpu / self.tweets * 1e3
    }
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("timelines of", settings.users);
    let files = run(settings, &[]).await?;
    report.add("files: accounts", "1/s", "", settings.users as f64 / files.cost.seconds);
    report.add("files: node's CPU", "s/1,000 tweets", "", files.node_cpu());
    let s3 = StorePlace::s3().await?;
    let stored = compare(settings, &s3, &files, report).await?;
    report.add("s3: requests", "an account", "", stored.requests / settings.users as f64);
    drop(s3);
    #[cfg(feature = "hdfs")]
    compare(settings, &StorePlace::hdfs().await?, &files, report).await?;
    #[cfg(feature = "cassandra")]
    {
        // The server has compiled most of what it runs before: a first crawl is not counted.
        let mut place = StorePlace::cassandra().await?;
        run(settings, &place.flags()).await?;
        place.use_keyspace("measured").await?;
        compare(settings, &place, &files, report).await?;
    }
    Ok(())
}

async fn compare(
    settings: &Settings,
    place: &StorePlace,
    files: &Measured,
    report: &mut Report,
) -> anyhow::Result<Measured> {
    let before = place.cpu_seconds()?;
    let stored = run(settings, &place.flags()).await?;
    let server_cpu = place.cpu_seconds()? - before;
    let target = if place.name == "s3" { "0.6" } else { "0.3" };
    let named = |what: &str| format!("{}: {what}", place.name);
    let (pace, seconds) = (settings.users as f64 / stored.cost.seconds, files.cost.seconds);
    report.add(named("accounts"), "1/s", "", pace);
    report.add(named("accounts, part of those on files"), "", target, seconds / stored.cost.seconds);
    report.add(named("node's CPU"), "s/1,000 tweets", "", stored.node_cpu());
    report.add(named("node's CPU, of that on files"), "times", "1.3", stored.node_cpu() / files.node_cpu());
    report.add(named("server's CPU"), "s/1,000 tweets", "", server_cpu / stored.tweets * 1e3);
    Ok(stored)
}

async fn run(settings: &Settings, flags: &[String]) -> anyhow::Result<Measured> {
    let disks = settings.disks()?;
    let (emulator, url) = emulate(settings.users, disks.path()).await?;
    let mut all = vec![format!("--api-url={url}/1/")];
    all.extend(flags.iter().cloned());
    let mut cluster = Cluster::start(Program::Node(all), 1, disks).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);
    let cost = crawl(&client, &cluster, &emulator, Operation::Timeline, settings.users).await?;
    let http = client.node_status().await?.workers.context("the node's workers have not started")?.http;
    let requests = Page::get(&http, "/metrics").await?.metric("twm_dataset_requests_total", "");
    let tweets = cost.view.counters.operations[Operation::Timeline.index()].items as f64;
    Ok(Measured { cost, tweets, requests })
}
