//! The same timelines on files and in a store, which shares the machine.

use anyhow::Context;
use api::TrackerApi;
use api::model::Operation;

use super::Settings;
use super::cluster::{Cluster, Program};
use super::crawl::{Cost, crawl, emulate};
use super::process::ProcFolder;
use super::report::Report;
use crate::cluster::Page;
use crate::s3_server::S3Server;

/// Tweets and seconds of a crawl.
struct Measured {
    cost: Cost,
    tweets: f64,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("timelines of", settings.users);
    let files = run(settings, &[], async |_| Ok(())).await?;
    let accounts = |measured: &Measured| settings.users as f64 / measured.cost.seconds;
    let cpu = |measured: &Measured| measured.cost.node_cpu / measured.tweets * 1e3;
    report.add("files: accounts", "1/s", "", accounts(&files));
    report.add("files: node's CPU", "s/1,000 tweets", "", cpu(&files));

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
    report.add("s3: accounts", "1/s", "", accounts(&stored));
    report.add("s3: accounts, part of those on files", "", "0.6", accounts(&stored) / accounts(&files));
    report.add("s3: node's CPU", "s/1,000 tweets", "", cpu(&stored));
    report.add("s3: node's CPU, of that on files", "times", "1.3", cpu(&stored) / cpu(&files));
    report.add("s3: server's CPU", "s/1,000 tweets", "", server_cpu / stored.tweets * 1e3);
    report.add("s3: requests", "an account", "", requests / settings.users as f64);
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
    Ok(Measured { cost, tweets })
}
