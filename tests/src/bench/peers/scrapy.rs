//! Scrapy on the same emulator as a node: the timelines of the same accounts.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use api::model::Operation;
use serde::Deserialize;

use super::super::Settings;
use super::super::cluster::{Cluster, Program};
use super::super::crawl::{crawl, emulate};
use super::super::process::Process;
use super::super::report::Report;

/// Description of the setup, for the table.
const METHOD: &str = "one process, 32 requests at a time, gzip level 6, a file synced and renamed for each account; \
    the start of Python is not counted";

/// The Python program of the spider.
const SPIDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/timelines.py");

/// Timeout of the spider.
const PATIENCE: Duration = Duration::from_secs(600);

/// Output of the spider.
#[derive(Deserialize)]
struct Done {
    version: String,
    users: u64,
    tweets: u64,
    seconds: f64,
    cpu_seconds: f64,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let disks = settings.disks()?;
    let (emulator, url) = emulate(settings.users, disks.path()).await?;
    let base = format!("{url}/1/");
    report.setting("timelines of", settings.users);

    let program = Program::Node(vec!["--api-url".to_owned(), base.clone()]);
    let mut cluster = Cluster::start(program, 1, settings.disks()?).await?;
    let node = cluster.healthy().await?;
    let client = cluster.client(node);
    let cost = crawl(&client, &cluster, &emulator, Operation::Timeline, settings.users).await?;
    let tweets = cost.view.counters.operations[Operation::Timeline.index()].items;
    drop(cluster);
    add("twm", settings.users, tweets, cost.seconds, cost.node_cpu, report);

    let done = crawl_with_scrapy(settings, &base, disks.path()).await?;
    report.setting("scrapy", format!("{}: {METHOD}", done.version));
    ensure!(
        (done.users, done.tweets) == (settings.users, tweets),
        "Scrapy crawled {} accounts and {} tweets, the node {} and {tweets}",
        done.users,
        done.tweets,
        settings.users
    );
    add("scrapy", done.users, done.tweets, done.seconds, done.cpu_seconds, report);
    Ok(())
}

fn add(who: &str, users: u64, tweets: u64, seconds: f64, cpu: f64, report: &mut Report) {
    eprintln!("  {who}: {:.0} accounts/s", users as f64 / seconds);
    report.add(format!("timelines: {who}: accounts"), "1/s", "", users as f64 / seconds);
    report.add(format!("timelines: {who}: CPU"), "s/1,000 tweets", "", cpu / tweets as f64 * 1e3);
}

async fn crawl_with_scrapy(settings: &Settings, base: &str, disk: &Path) -> anyhow::Result<Done> {
    let folder = disk.join("scrapy");
    std::fs::create_dir(&folder)?;
    let (users, folder) = (settings.users.to_string(), folder.to_string_lossy());
    let arguments = [SPIDER, "--url", base, "--users", &users, "--folder", &folder];
    let python = settings.peers_folder.join("venv/bin/python");
    let mut process = Process::start("scrapy", &python, arguments, &disk.join("log-scrapy"))?;
    let line = process.line_within(PATIENCE).await?;
    let done = serde_json::from_str(&line).with_context(|| format!("Scrapy said {line:?}"))?;
    let files = std::fs::read_dir(folder.as_ref())?.count();
    ensure!(files as u64 == settings.users, "Scrapy wrote {files} files");
    Ok(done)
}
