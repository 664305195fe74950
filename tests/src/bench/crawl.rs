//! One node crawls synthetic accounts, served by the emulator on the same machine.

use std::time::Duration;

use anyhow::Context;
use api::TrackerApi;
use api::client::Client;
use api::model::{CrawlView, Operation, Operations};
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::binaries;
use super::cluster::{Cluster, Program};
use super::process::Process;
use super::report::Report;
use super::targets::{submit, view};

/// Mean tweets of an account before the API's limit of 3,200 truncates the longest timelines: 200 accounts
/// then have about the 48,764 tweets of the original's measurement.
const TWEETS: &str = "311";

/// Poll interval of a crawl.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Resources used by a crawl.
pub(super) struct Cost {
    pub(super) seconds: f64,
    pub(super) node_cpu: f64,
    emulator_cpu: f64,
    requests: u64,
    pub(super) view: CrawlView,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let (timelines, followers) = (settings.users, settings.users * 10);
    report.setting("timelines of", timelines);
    report.setting("tweets each on average", TWEETS);
    report.setting("followers of", followers);
    let disks = settings.disks()?;
    let (emulator, url) = emulate(followers, disks.path()).await?;
    let program = Program::Node(vec!["--api-url".to_owned(), format!("{url}/1/")]);
    let mut cluster = Cluster::start(program, 1, disks).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);

    let cost = crawl(&client, &cluster, &emulator, Operation::Timeline, timelines).await?;
    let tweets = cost.view.counters.operations[Operation::Timeline.index()].items as f64;
    report.add("timelines: node's CPU", "s/1,000 tweets", "0.015", cost.node_cpu / tweets * 1e3);
    report.add("timelines: accounts", "1/s", "300", timelines as f64 / cost.seconds);
    report.add("timelines: tweets", "1/s", "", tweets / cost.seconds);
    report.add("timelines: emulator's CPU", "s/1,000 tweets", "", cost.emulator_cpu / tweets * 1e3);
    report.add("timelines: tweets in all", "tweets", "", tweets);

    let cost = crawl(&client, &cluster, &emulator, Operation::Followers, followers).await?;
    let requests = cost.requests as f64;
    report.add("followers: node's CPU", "s/1,000 requests", "0.2", cost.node_cpu / requests * 1e3);
    report.add("followers: requests", "1/s", "", requests / cost.seconds);
    report.add("followers: emulator's CPU", "s/1,000 requests", "", cost.emulator_cpu / requests * 1e3);
    let node = cluster.processes().next().context("the node is gone")?;
    report.add(
        "node's memory afterwards",
        "MiB resident",
        "",
        node.resident_bytes()? as f64 / f64::from(1 << 20),
    );
    Ok(())
}

/// Starts an emulator with `users` accounts. Returns it and its URL.
pub(super) async fn emulate(users: u64, dir: &std::path::Path) -> anyhow::Result<(Process, String)> {
    let users = users.to_string();
    let arguments = ["--synthetic", &users, "--tweets-mean", TWEETS, "--listen", "127.0.0.1:0"];
    let program = binaries::beside_this("twm-emulator")?;
    let mut emulator = Process::start("emulator", &program, arguments, &dir.join("log-emulator"))?;
    let line = emulator.first_line().await?;
    let url = line.strip_prefix("listening on ").with_context(|| format!("the emulator said {line:?}"))?;
    Ok((emulator, url.to_owned()))
}

/// Submits accounts 1 to `users` and waits until the crawl has ended.
pub(super) async fn crawl(
    client: &Client,
    cluster: &Cluster,
    emulator: &Process,
    operation: Operation,
    users: u64,
) -> anyhow::Result<Cost> {
    let requests = async || {
        let status = client.node_status().await?;
        anyhow::Ok(status.workers.context("the node's workers have not started")?.requests)
    };
    let requests_before = requests().await?;
    let (begin, cpu, others) = (Instant::now(), cluster.cpu_seconds()?, emulator.cpu_seconds()?);
    let crawl =
        submit(cluster.client(1), Operations::only(operation), (1..=users).map(UserId::Number)).await?;
    let view = loop {
        let view = view(client, crawl).await?;
        if view.phase.is_over() {
            break view;
        }
        sleep(LOOK_PAUSE).await;
    };
    let seconds = begin.elapsed().as_secs_f64();
    let outcome = view.counters.users;
    anyhow::ensure!(outcome.completed == users, "not every account was crawled: {outcome:?}");
    Ok(Cost {
        seconds,
        node_cpu: cluster.cpu_seconds()? - cpu,
        emulator_cpu: emulator.cpu_seconds()? - others,
        requests: requests().await? - requests_before,
        view,
    })
}
