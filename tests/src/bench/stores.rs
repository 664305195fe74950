//! The same timelines on files and in stores, which share the machine.

use anyhow::Context;
use api::TrackerApi;
use api::model::Operation;
#[cfg(feature = "cassandra")]
use storage::dataset::cassandra::CassandraStore;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl::{Cost, crawl, emulate};
use super::process::ProcFolder;
use super::report::Report;
#[cfg(feature = "cassandra")]
use crate::cassandra_server::CassandraServer;
use crate::cluster::Page;
#[cfg(feature = "hdfs")]
use crate::hdfs_server::HdfsServer;
use crate::s3_server::S3Server;

/// Tweets and seconds of a crawl.
struct Measured {
    cost: Cost,
    tweets: f64,
}

impl Measured {
    fn node_cpu(&self) -> f64 {
        self.cost.node_cpu / self.tweets * 1e3
    }
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("timelines of", settings.users);
    let files = run(settings, &[], async |_| Ok(())).await?;
    report.add("files: accounts", "1/s", "", settings.users as f64 / files.cost.seconds);
    report.add("files: node's CPU", "s/1,000 tweets", "", files.node_cpu());
    s3(settings, &files, report).await?;
    #[cfg(feature = "hdfs")]
    hdfs(settings, &files, report).await?;
    #[cfg(feature = "cassandra")]
    cassandra(settings, &files, report).await?;
    Ok(())
}

async fn s3(settings: &Settings, files: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let server = S3Server::start().await?;
    let folder = tempfile::TempDir::new().context("making a folder")?;
    let login = folder.path().join("credentials");
    let (access_key, secret_key) = server.login();
    std::fs::write(&login, format!("aws_access_key_id={access_key}\naws_secret_access_key={secret_key}\n"))?;
    let flags = [
        "--output=s3://twm/data".to_owned(),
        format!("--s3-endpoint={}", server.endpoint()),
        format!("--s3-credentials-file={}", login.display()),
    ];
    let process = ProcFolder::of(server.process().id()?);
    let before = process.cpu_seconds()?;
    let mut requests = 0.0;
    let stored = run(settings, &flags, async |page: Page| {
        requests = page.metric("twm_dataset_requests_total", "");
        Ok(())
    })
    .await?;
    let server_cpu = process.cpu_seconds()? - before;
    compare("s3", settings, files, &stored, server_cpu, report);
    report.add("s3: requests", "an account", "", requests / settings.users as f64);
    Ok(())
}

#[cfg(feature = "hdfs")]
async fn hdfs(settings: &Settings, files: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let server = HdfsServer::start().await?;
    let flags = [format!("--output={}", server.url("data"))];
    let (name_node, data_node) =
        (ProcFolder::of(server.name_node().id()?), ProcFolder::of(server.data_node().id()?));
    let before = name_node.cpu_seconds()? + data_node.cpu_seconds()?;
    let stored = run(settings, &flags, async |_| Ok(())).await?;
    let servers = name_node.cpu_seconds()? + data_node.cpu_seconds()? - before;
    compare("hdfs", settings, files, &stored, servers, report);
    Ok(())
}

/// The server has compiled most of what it runs before: a first crawl is not counted.
#[cfg(feature = "cassandra")]
async fn cassandra(settings: &Settings, files: &Measured, report: &mut Report) -> anyhow::Result<()> {
    let server = CassandraServer::start().await?;
    let process = ProcFolder::of(server.process().id()?);
    for (keyspace, counts) in [("warm_up", false), ("measured", true)] {
        let (url, options) = (server.url(keyspace)?, server.options());
        let init = move || CassandraStore::init(&url, &options, Some(1));
        tokio::task::spawn_blocking(init).await??;
        let flags = [format!("--output={}", server.url(keyspace)?)];
        let before = process.cpu_seconds()?;
        let stored = run(settings, &flags, async |_| Ok(())).await?;
        let server_cpu = process.cpu_seconds()? - before;
        if counts {
            compare("cassandra", settings, files, &stored, server_cpu, report);
        }
    }
    Ok(())
}

fn compare(
    store: &str,
    settings: &Settings,
    files: &Measured,
    stored: &Measured,
    server_cpu: f64,
    report: &mut Report,
) {
    let target = if store == "s3" { "0.6" } else { "0.3" };
    let named = |what: &str| format!("{store}: {what}");
    let (pace, seconds) = (settings.users as f64 / stored.cost.seconds, files.cost.seconds);
    report.add(named("accounts"), "1/s", "", pace);
    report.add(named("accounts, part of those on files"), "", target, seconds / stored.cost.seconds);
    report.add(named("node's CPU"), "s/1,000 tweets", "", stored.node_cpu());
    report.add(named("node's CPU, of that on files"), "times", "1.3", stored.node_cpu() / files.node_cpu());
    report.add(named("server's CPU"), "s/1,000 tweets", "", server_cpu / stored.tweets * 1e3);
}

async fn run(
    settings: &Settings,
    flags: &[String],
    mut look: impl AsyncFnMut(Page) -> anyhow::Result<()>,
) -> anyhow::Result<Measured> {
    let disks = settings.disks()?;
    let (emulator, url) = emulate(settings.users, disks.path()).await?;
    let mut all = vec![format!("--api-url={url}/1/")];
    all.extend(flags.iter().cloned());
    let mut cluster = Cluster::start(Program::Node(all), 1, disks).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);
    let cost = crawl(&client, &cluster, &emulator, Operation::Timeline, settings.users).await?;
    let http = client.node_status().await?.workers.context("the node's workers have not started")?.http;
    look(Page::get(&http, "/metrics").await?).await?;
    let tweets = cost.view.counters.operations[Operation::Timeline.index()].items as f64;
    Ok(Measured { cost, tweets })
}
