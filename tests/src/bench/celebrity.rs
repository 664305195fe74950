//! One account with very many followers, fetched and then analysed by one node.
//!
//! The account is an ordinary job, so its memory must not depend on its size. Only the state for all seen
//! accounts may grow: the seen-set, and the frontier of the accounts that the analysis admits.

use std::time::Duration;

use anyhow::{Context, ensure};
use api::TrackerApi;
use api::client::Client;
use api::model::{CrawlId, CrawlView, Operation, Operations};
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use super::Settings;
use super::cluster::{Cluster, Program};
use super::process::Process;
use super::report::Report;
#[cfg(feature = "s3")]
use super::store_places::StorePlace;
use super::targets::{submit, view};
use crate::cluster::Page;
use crate::emulator::{Emulator, IdScheme, SyntheticOptions};

const SEED: u64 = 1;

/// Time for the session to open and for the first checkpoints, so that the node's memory is that of an idle node.
const SETTLE: Duration = Duration::from_secs(3);

/// Poll interval.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Memory that is allowed in addition to the idle node and its seen-set.
const REACH: &str = "< 200 MB";

/// Memory of a node at one time, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    resident: f64,
    seen: f64,
    frontier: f64,
}

/// A part of the crawl, up to the completion of its operation.
struct Part {
    seconds: f64,
    cpu: f64,
    /// The sample with the most resident memory excluding the seen-set.
    most: Memory,
    view: CrawlView,
}

impl Part {
    /// Bytes beside those of the idle node and of the seen-set.
    fn above(&self, idle: &Memory) -> f64 {
        self.most.resident - idle.resident - self.most.seen
    }
}

/// What a crawl of the account took.
struct Measured {
    idle: Memory,
    fetched: Part,
    analysed: Part,
    /// Most resident memory of the node, bytes.
    peak: f64,
}

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    describe(settings, report);
    let Measured { idle, fetched, analysed, peak } = crawl(settings, &[]).await?;
    for (name, part) in [("fetching", &fetched), ("analysis", &analysed)] {
        report.add(
            format!("{name}: memory above the idle node and the seen-set"),
            "MB",
            REACH,
            part.above(&idle) / 1e6,
        );
        report.add(format!("{name}: of it the frontier"), "MB", "", part.most.frontier / 1e6);
        report.add(format!("{name}: the seen-set then"), "MB", "", part.most.seen / 1e6);
        report.add(format!("{name}: followers"), "1/s", "", settings.followers as f64 / part.seconds);
        let cpu = part.cpu / settings.followers as f64 * 1e6;
        report.add(format!("{name}: node's CPU"), "s/1,000,000", "", cpu);
    }
    report.add("the idle node", "MB", "", idle.resident / 1e6);
    report.add("the node at its peak", "MB", "", peak / 1e6);
    Ok(())
}

/// The same on files and in each store.
#[cfg(feature = "s3")]
pub(super) async fn measure_stores(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    describe(settings, report);
    add(settings, report, "files", &crawl(settings, &[]).await?);
    let place = StorePlace::s3().await?;
    add(settings, report, place.name, &crawl(settings, &place.flags()).await?);
    drop(place);
    #[cfg(feature = "hdfs")]
    {
        let place = StorePlace::hdfs().await?;
        add(settings, report, place.name, &crawl(settings, &place.flags()).await?);
    }
    #[cfg(feature = "cassandra")]
    {
        let place = StorePlace::cassandra().await?;
        add(settings, report, place.name, &crawl(settings, &place.flags()).await?);
    }
    Ok(())
}

#[cfg(feature = "s3")]
fn add(settings: &Settings, report: &mut Report, place: &str, measured: &Measured) {
    let parts = [("fetching", &measured.fetched), ("analysis", &measured.analysed)];
    for (name, part) in parts {
        let above = part.above(&measured.idle) / 1e6;
        report.add(
            format!("{place}, {name}: memory above the idle node and the seen-set"),
            "MB",
            REACH,
            above,
        );
        let pace = settings.followers as f64 / part.seconds;
        report.add(format!("{place}, {name}: followers"), "1/s", "", pace);
    }
}

fn describe(settings: &Settings, report: &mut Report) {
    report.setting("followers", settings.followers);
    report.setting("ids", "scattered over 61 bits");
    report.setting("admitted", "all");
}

async fn crawl(settings: &Settings, flags: &[String]) -> anyhow::Result<Measured> {
    let followers = settings.followers;
    let mut population = SyntheticOptions::new(followers + 1, SEED);
    population.celebrity = Some(followers);
    population.ids = IdScheme::Hashed;
    let emulator = Emulator::builder().synthetic(population).start().await?;
    let celebrity = UserId::Number(emulator.users(0, 1)[0]);
    let mut all = vec!["--api-url".to_owned(), format!("{}/1/", emulator.url())];
    all.extend(flags.iter().cloned());
    let mut cluster = Cluster::start(Program::Node(all), 1, settings.disks()?).await?;
    let leader = cluster.healthy().await?;
    let client = cluster.client(leader);
    sleep(SETTLE).await;
    let idle = memory(&client, &cluster).await?;

    let operations = Operations::only(Operation::Followers).with(Operation::Analysis);
    let crawl = submit(cluster.client(1), operations, [celebrity]).await?;
    let fetched = part(&client, &cluster, crawl, Operation::Followers).await?;
    eprintln!("  {followers} followers are fetched");
    let items = fetched.view.counters.operations[Operation::Followers.index()].items;
    ensure!(items == followers, "{items} followers were written of {followers}");
    let analysed = part(&client, &cluster, crawl, Operation::Analysis).await?;
    let view = view(&client, crawl).await?;
    let counters = view.counters;
    ensure!(view.phase.is_over() && counters.users.completed == 1, "the crawl is not over: {view:?}");
    ensure!(
        [counters.discovered, counters.admitted, counters.frontier] == [followers; 3],
        "of {followers} followers: {counters:?}"
    );
    let peak = node(&cluster)?.peak_bytes()? as f64;
    Ok(Measured { idle, fetched, analysed, peak })
}

/// Samples memory until an operation of the crawl is completed.
async fn part(
    client: &Client,
    cluster: &Cluster,
    crawl: CrawlId,
    operation: Operation,
) -> anyhow::Result<Part> {
    let (begin, cpu) = (Instant::now(), cluster.cpu_seconds()?);
    let beside = |memory: &Memory| memory.resident - memory.seen;
    let mut most = memory(client, cluster).await?;
    loop {
        let now = memory(client, cluster).await?;
        if beside(&now) > beside(&most) {
            most = now;
        }
        let view = view(client, crawl).await?;
        if view.counters.operations[operation.index()].completed > 0 {
            let (seconds, cpu) = (begin.elapsed().as_secs_f64(), cluster.cpu_seconds()? - cpu);
            return Ok(Part { seconds, cpu, most, view });
        }
        ensure!(!view.phase.is_over(), "the account was not crawled: {view:?}");
        sleep(LOOK_PAUSE).await;
    }
}

async fn memory(client: &Client, cluster: &Cluster) -> anyhow::Result<Memory> {
    let workers = client.node_status().await?.workers.context("the node's workers have not started")?;
    let page = Page::get(&workers.http, "/metrics").await?;
    Ok(Memory {
        resident: node(cluster)?.resident_bytes()? as f64,
        seen: page.metric("twm_state_seen_bytes", ""),
        frontier: page.metric("twm_state_queue_bytes", ""),
    })
}

fn node(cluster: &Cluster) -> anyhow::Result<&Process> {
    cluster.processes().next().context("the node is gone")
}
