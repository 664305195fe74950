//! A dataset copied to each store, by `twm-ctl dataset copy` and by the store's own tool.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use api::model::Operation;
use tokio::process::Command;
use tokio::time::Instant;

use super::Settings;
use super::binaries;
use super::cluster::{Cluster, Program};
use super::crawl::{crawl, emulate};
use super::report::Report;
#[cfg(feature = "hdfs")]
use super::store_places::Server;
use super::store_places::StorePlace;

/// Accounts of the dataset for each of `--users`.
const ACCOUNTS: u64 = 10;
/// Part of the pace of the store's own tool.
const REACH: &str = "0.8";

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let accounts = settings.users * ACCOUNTS;
    report.setting("timelines of", accounts);
    let disks = settings.disks()?;
    let (emulator, url) = emulate(accounts, disks.path()).await?;
    let node = vec![format!("--api-url={url}/1/")];
    let mut cluster = Cluster::start(Program::Node(node), 1, disks).await?;
    let leader = cluster.healthy().await?;
    crawl(&cluster.client(leader), &cluster, &emulator, Operation::Timeline, accounts).await?;
    let dataset = cluster.folder("output", 1);

    let s3 = StorePlace::s3().await?;
    let own = ours(&s3, &dataset).await?;
    let aws = settings.peers_folder.join("aws/bin/aws");
    ensure!(aws.is_file(), "{} is missing; ops/bench copies installs it", aws.display());
    let mut tool = Command::new(aws);
    tool.args(["s3", "cp", "--recursive", "--only-show-errors"]).arg(&dataset).arg("s3://twm/tool");
    add(report, "s3", "aws s3 cp", accounts, own, timed(&s3, tool).await?);
    drop(s3);
    #[cfg(feature = "hdfs")]
    {
        let hdfs = StorePlace::hdfs().await?;
        let own = ours(&hdfs, &dataset).await?;
        let Server::Hdfs(server) = hdfs.server() else { anyhow::bail!("{} is no HDFS", hdfs.url) };
        let (begin, from) = (Instant::now(), dataset.display().to_string());
        server.run("org.apache.hadoop.fs.FsShell", &["-put", "-t", "8", &from, "/tool"]).await?;
        add(report, "hdfs", "hdfs dfs -put -t 8", accounts, own, begin.elapsed().as_secs_f64());
    }
    #[cfg(feature = "cassandra")]
    {
        // Its tools copy rows of text; none of them copies files.
        let cassandra = StorePlace::cassandra().await?;
        let own = ours(&cassandra, &dataset).await?;
        report.add("cassandra: dataset copy", "files/s", "", accounts as f64 / own);
    }
    Ok(())
}

fn add(report: &mut Report, store: &str, tool: &str, files: u64, own: f64, others: f64) {
    report.add(format!("{store}: dataset copy"), "files/s", "", files as f64 / own);
    report.add(format!("{store}: {tool}"), "files/s", "", files as f64 / others);
    report.add(format!("{store}: dataset copy, part of that"), "", REACH, others / own);
}

/// Seconds of `twm-ctl dataset copy`.
async fn ours(place: &StorePlace, dataset: &Path) -> anyhow::Result<f64> {
    let ctl: PathBuf = binaries::beside_this("twm-ctl")?;
    let mut copy = Command::new(ctl);
    copy.args(["dataset", "copy"]).arg(dataset).arg(&place.url);
    timed(place, copy).await
}

async fn timed(place: &StorePlace, mut command: Command) -> anyhow::Result<f64> {
    command.envs(place.variables.iter().map(|(name, value)| (name, value.as_str())));
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(begin.elapsed().as_secs_f64())
}
