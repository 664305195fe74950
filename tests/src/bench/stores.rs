//! The same timelines on files and in stores, which share the machine.

use anyhow::Context;
use api::TrackerApi;
use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl::{Cost, crawl, emulate};
use super::process::ProcFolder;
use super::report::Report;
use crate::cluster::Page;
#[cfg(feature = "hdfs")]
use crate::hdfs_server::HdfsServer;
use crate::s3_server::S3Server;

/// Tweets and seconds of a crawl.
struct Measured {
    users: f64,
    cost: Cost,
    tweets: f64,
}

impl Measured {
    fn accounts(&self) -> f64 {
        self.users / self.cost.seconds
    }

    fn cpu(&self) -> f64 {
        self.cost.node_cpu / self.tweets * 1e3
    }
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("timelines of", settings.users);
    let files = run(settings, &[], async |_| Ok(())).await?;
    report.add("files: accounts", "1/s", "", files.accounts());
    report.add("files: node's CPU", "s/1,000 tweets", "", files.cpu());
    to_s3(settings, report, &files).await?;
    #[cfg(feature = "hdfs")]
    to_hdfs(settings, report, &files).await?;
    Ok(())
}

async fn to_s3(settings: &Settings, report: &mut Report, files: &Measured) -> anyhow::Result<()> {
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
    report.add("s3: accounts", "1/s", "", stored.accounts());
    report.add("s3: accounts, part of those on files", "", "0.6", stored.accounts() / files.accounts());
    report.add("s3: node's CPU", "s/1,000 tweets", "", stored.cpu());
    report.add("s3: node's CPU, of that on files", "times", "1.3", stored.cpu() / files.cpu());
    report.add("s3: server's CPU", "s/1,000 tweets", "", server_cpu / stored.tweets * 1e3);
    report.add("s3: requests", "an account", "", requests / settings.users as f64);
    Ok(())
}

#[cfg(feature = "hdfs")]
async fn to_hdfs(settings: &Settings, report: &mut Report, files: &Measured) -> anyhow::Result<()> {
    let server = HdfsServer::start().await?;
    let flags = [format!("--output={}", server.url("data"))];
    let (name_node, data_node) =
        (ProcFolder::of(server.name_node().id()?), ProcFolder::of(server.data_node().id()?));
    let before = (name_node.cpu_seconds()?, data_node.cpu_seconds()?);
    let stored = run(settings, &flags, async |_| Ok(())).await?;
    let after = (name_node.cpu_seconds()?, data_node.cpu_seconds()?);
    report.add("hdfs: accounts", "1/s", "", stored.accounts());
    report.add("hdfs: accounts, part of those on files", "", "0.3", stored.accounts() / files.accounts());
    report.add("hdfs: node's CPU", "s/1,000 tweets", "", stored.cpu());
    report.add("hdfs: node's CPU, of that on files", "times", "1.3", stored.cpu() / files.cpu());
    report.add("hdfs: name node's CPU", "s/1,000 tweets", "", (after.0 - before.0) / stored.tweets * 1e3);
    report.add("hdfs: datanode's CPU", "s/1,000 tweets", "", (after.1 - before.1) / stored.tweets * 1e3);
    Ok(())
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
    Ok(Measured { users: settings.users as f64, cost, tweets })
}
