//! One node crawls accounts of thousands of hosts, each at an address of its own, with none of them hanging and with one in
//! a hundred. Both take turns in one run, each on a new node.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use api::client::{ApiError, ClientError};
use api::model::{CrawlId, NodeId, Operation, Operations, Refusal};
use storage::dataset::SourceName;
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::binaries;
use super::cluster::{Cluster, Program};
use super::process::Process;
use super::report::Report;
use super::targets::{submit_to, view};
use crate::cluster::Page;

/// Accounts of each host.
const ACCOUNTS: u32 = 4;
/// Mean number of posts of an account.
const POSTS: &str = "30";
/// One host in so many hangs.
const HANGS: u32 = 100;
/// The address of host 0, as the emulator has it.
const FIRST_ADDRESS: u32 = 0x7f01_0000;
/// The source.
const SOURCE: &str = "fedi";

/// Poll intervals of a crawl, and of a cluster whose version rises.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
const VERSION_PAUSE: Duration = Duration::from_millis(200);
/// Timeout for a crawl.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a crawl cost.
struct Cost {
    seconds: f64,
    accounts: u64,
    cpu: f64,
    peak: f64,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let hosts = settings.hosts;
    report.setting("hosts", hosts);
    report.setting("accounts of each", ACCOUNTS);
    report.setting("posts each on average", POSTS);
    report.setting("hanging", format!("1 host in {HANGS}"));
    let mut rates = [0.0; 2];
    for (at, (name, hangs)) in [("none hangs", false), ("1 % hang", true)].into_iter().enumerate() {
        let cost = crawl(settings, hosts, hangs).await.with_context(|| name.to_owned())?;
        rates[at] = cost.accounts as f64 / cost.seconds;
        report.add(format!("{name}: accounts"), "1/s", "", rates[at]);
        report.add(format!("{name}: the node at its peak"), "MB", "< 300", cost.peak / 1e6);
        report.add(
            format!("{name}: node's CPU"),
            "s/1,000 accounts",
            "",
            cost.cpu / cost.accounts as f64 * 1e3,
        );
    }
    report.add("1 % hang: accounts of those with none", "%", "90", rates[1] / rates[0] * 100.0);
    Ok(())
}

/// Crawls all accounts of the hosts that do not hang.
async fn crawl(settings: &Settings, hosts: u32, hangs: bool) -> anyhow::Result<Cost> {
    let disks = settings.disks()?;
    let (emulator, port) = emulate(hosts, hangs, disks.path()).await?;
    let config = disks.path().join("settings.toml");
    std::fs::write(&config, settings_of(hosts, &port)?)?;
    let program = Program::Node(vec![format!("--config={}", config.display())]);
    let mut cluster = Cluster::start(program, 1, disks).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);
    let accounts = accounts(&format!("127.0.0.1:{port}")).await?;
    let is_good = |acct: &str| !hangs || host_number(acct).is_none_or(|host| host % HANGS != 0);
    let good = accounts.iter().filter(|acct| is_good(acct)).count() as u64;

    let users: Vec<UserId> = accounts.iter().map(|acct| acct.parse()).collect::<Result<_, _>>()?;
    let crawl = submitted(&cluster, leader, users).await?;
    let (begin, cpu) = (Instant::now(), cluster.cpu_seconds()?);
    loop {
        let users = view(&client, crawl).await?.counters.users;
        if users.completed >= good {
            ensure!(users.completed == good && users.failed == 0, "{users:?} of {good} that can be crawled");
            break;
        }
        ensure!(begin.elapsed() < PATIENCE, "the crawl takes too long: {users:?} of {good}");
        sleep(LOOK_PAUSE).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let node = cluster.processes().next().context("the node is gone")?;
    let (cpu, peak) = (cluster.cpu_seconds()? - cpu, node.peak_bytes()? as f64);
    drop(emulator);
    Ok(Cost { seconds, accounts: good, cpu, peak })
}

/// Submits the accounts as soon as the new cluster knows hosts.
async fn submitted(cluster: &Cluster, leader: NodeId, users: Vec<UserId>) -> anyhow::Result<CrawlId> {
    let source: SourceName = SOURCE.parse()?;
    let operations = Operations::only(Operation::Timeline);
    loop {
        let again = submit_to(cluster.client(leader), source.clone(), operations, users.clone()).await;
        match again {
            Ok(crawl) => return Ok(crawl),
            Err(error) if is_too_old(&error) => sleep(VERSION_PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}

fn is_too_old(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref::<ClientError>();
    matches!(refused, Some(ClientError::Api(ApiError::Refused(Refusal::NeedsVersion { .. }))))
}

/// Starts an emulator of many hosts. Returns it and its port.
async fn emulate(hosts: u32, hangs: bool, dir: &Path) -> anyhow::Result<(Process, String)> {
    let hanging: Vec<String> =
        (1..=hosts).filter(|host| hangs && host % HANGS == 0).map(|host| format!("{host}=hang")).collect();
    let (hosts, accounts, kinds) = (hosts.to_string(), ACCOUNTS.to_string(), hanging.join(","));
    let arguments = [
        "--mastodon",
        &hosts,
        "--mastodon-accounts",
        &accounts,
        "--mastodon-unlimited",
        "--mastodon-kinds",
        &kinds,
        "--tweets-mean",
        POSTS,
        "--listen",
        "0.0.0.0:0",
    ];
    let program = binaries::beside_this("twm-emulator")?;
    let mut emulator = Process::start("emulator", &program, arguments, &dir.join("log-emulator"))?;
    let line = emulator.first_line().await?;
    let port = line.rsplit_once(':').with_context(|| format!("the emulator said {line:?}"))?.1.to_owned();
    Ok((emulator, port))
}

/// The settings file of a node: where each host is.
fn settings_of(hosts: u32, port: &str) -> anyhow::Result<String> {
    let mut text = format!("[source.{SOURCE}]\nkind = \"mastodon\"\ncontact = \"bench@example.org\"\n");
    writeln!(text, "[source.{SOURCE}.api-urls]")?;
    for host in 1..=hosts {
        let address = std::net::Ipv4Addr::from(FIRST_ADDRESS + host);
        writeln!(text, "\"h{host}.test\" = \"http://{address}:{port}/\"")?;
    }
    Ok(text)
}

/// All accounts of the emulator.
async fn accounts(address: &str) -> anyhow::Result<Vec<String>> {
    let page = Page::get(address, "/_emulator/accounts").await?;
    ensure!(page.status == 200, "the emulator answered {}", page.status);
    Ok(page.body.lines().map(str::to_owned).collect())
}

fn host_number(acct: &str) -> Option<u32> {
    acct.rsplit_once("@h")?.1.strip_suffix(".test")?.parse().ok()
}
