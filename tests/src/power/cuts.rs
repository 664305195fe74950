//! Power cuts of single nodes and of all nodes under load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use storage::dataset::SourceName;

use anyhow::{Context, ensure};
use api::TrackerApi;
use api::model::{CrawlId, CrawlPhase, CrawlSpec, Operation, Operations, Query, Response, Traversal, Write};
use storage::env::{Entropy, SeededEntropy};
use storage::ids::UserId;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, Output, Truth, eventually};
use crate::emulator::{Emulator, Fault, FaultRule, SyntheticOptions};

use super::PowerDisk;

/// Accounts per crawl.
const ACCOUNTS: u64 = 12;
/// Ids per chunk of a big crawl.
const CHUNK: u64 = 10_000;
/// Maximum wait for the number of disk changes after which the power is cut.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to cut.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    version,
    about = "Cuts the power of nodes in the middle of their load, and compares what is left with what was acknowledged"
)]
pub struct Arguments {
    /// Number of cuts, each of one node or of all nodes.
    #[arg(long, default_value_t = 20)]
    pub cuts: u64,
    /// Seed that decides when the power is cut, on which nodes, and what is lost.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=5))]
    pub nodes: u64,
    /// Account ids of a paused crawl that exists during the whole run.
    #[arg(long, default_value_t = 0)]
    pub ids: u64,
}

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    single: u64,
    all: u64,
    /// Cuts while changes of names, or bytes, were not synced.
    at_risk: u64,
    names: usize,
    bytes: usize,
    /// Cuts of nodes that were still starting.
    early: u64,
    accounts: u64,
    longest_start: Duration,
}

impl Seen {
    /// Number of cuts while something was not synced.
    pub fn at_risk(&self) -> u64 {
        self.at_risk
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cuts of one node and {} of all, {} of them while nodes started; {} came with unsynced writes: {} changes of \
             names and {} bytes; the longest start took {:.1} s; {} accounts are complete and nothing is missing",
            self.single,
            self.all,
            self.early,
            self.at_risk,
            self.names,
            self.bytes,
            self.longest_start.as_secs_f64(),
            self.accounts
        )
    }
}

/// The disks of each host: for its data directory, and for its dataset.
type Disks = BTreeMap<u64, [PowerDisk; 2]>;

/// Makes the cuts and returns the results.
///
/// # Errors
/// Something is lost, or a node does not start again.
pub async fn run(arguments: &Arguments) -> anyhow::Result<Seen> {
    let dice = SeededEntropy::new(arguments.seed);
    let below = |n: u64| dice.next_u64() % n.max(1);
    let population = SyntheticOptions {
        tweets_mean: 40.0,
        followers_mean: 8.0,
        ..SyntheticOptions::new(ACCOUNTS * (arguments.cuts + 1), 7)
    };
    let slow = vec![FaultRule::new(Fault::LatencyMs(10))];
    let emulator = Emulator::builder().synthetic(population).page_size(5).faults(slow).start().await?;
    let builder = Cluster::builder().nodes(arguments.nodes).output(Output::Local).flags(["--log-kept=300"]);
    let mut cluster = builder.crawling(&emulator).prepare()?;
    let mut disks = Disks::new();
    for id in cluster.ids() {
        let places = [cluster.data_dir(id), cluster.output(id)];
        let [data, output] = places.map(|place| PowerDisk::mount(&place));
        disks.insert(id, [data?, output?]);
    }
    cluster.start_all()?;
    cluster.ready().await?;
    let mut seen = Seen::default();
    let big = if arguments.ids > 0 { Some(submit_many(&cluster, arguments.ids).await?) } else { None };
    let mut crawls = Vec::new();
    for cut in 0..arguments.cuts {
        let accounts = emulator.users(cut * ACCOUNTS, ACCOUNTS);
        crawls.push(cluster.submit(&accounts, &["-T", "-F"]).await?);
        let victims: Vec<u64> = match below(3) {
            0 => cluster.ids(),
            _ => vec![1 + below(arguments.nodes)],
        };
        *(if victims.len() == 1 { &mut seen.single } else { &mut seen.all }) += 1;
        power_goes(&disks, &victims, &below, &mut seen).await;
        let early = below(4) == 0;
        seen.early += u64::from(early);
        restart(&mut cluster, &mut disks, &victims, &dice, &mut seen, early).await?;
        if early {
            // Cut again while the nodes recover.
            power_goes(&disks, &victims, &|n| below(n.min(40)), &mut seen).await;
            restart(&mut cluster, &mut disks, &victims, &dice, &mut seen, false).await?;
        }
    }
    for crawl in crawls {
        let users = cluster.finished(crawl).await?.counters.users;
        ensure!(
            (users.accepted, users.completed) == (ACCOUNTS, ACCOUNTS),
            "crawl {crawl} ended with {users:?}, not with {ACCOUNTS} complete accounts"
        );
    }
    if let Some(big) = big {
        let view = cluster.crawl(big).await?;
        let waiting = view.counters.users.waiting;
        ensure!(
            view.phase == CrawlPhase::Paused && waiting == arguments.ids,
            "the big crawl is {:?} and has {waiting} of {} accounts",
            view.phase,
            arguments.ids
        );
    }
    seen.accounts = ACCOUNTS * arguments.cuts;
    let all = emulator.users(0, seen.accounts);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(all.clone()).followers(all).copies()).await?;
    cluster.kill_all().await?;
    drop(disks);
    cluster.finish().await?;
    Ok(seen)
}

/// Creates a crawl of `ids` accounts that is paused from the start.
async fn submit_many(cluster: &Cluster, ids: u64) -> anyhow::Result<CrawlId> {
    let client = cluster.client();
    let spec = CrawlSpec {
        name: "big".to_owned(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 1,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    };
    let created = client.write(Write::CreateCrawl { request: client.request_id(), spec }).await?;
    let Response::CrawlCreated(crawl) = created else { anyhow::bail!("no crawl was made: {created:?}") };
    client.write(Write::PauseCrawl { crawl }).await?;
    for (chunk, from) in (0..).zip((0..ids).step_by(CHUNK as usize)) {
        let users = (from..ids.min(from + CHUNK)).map(|n| UserId::Number(1 + n * 7)).collect();
        client.write(Write::AddTargets { crawl, chunk, users, seeds: false }).await?;
    }
    Ok(crawl)
}

/// Cuts the power of these hosts at the same moment, while one of them writes.
async fn power_goes(disks: &Disks, victims: &[u64], below: &impl Fn(u64) -> u64, seen: &mut Seen) {
    let all = || victims.iter().filter_map(|id| disks.get(id)).flatten();
    let first = below(all().count() as u64) as usize;
    if let Some(disk) = all().nth(first) {
        disk.cut_after(below(200));
    }
    let end = Instant::now() + PATIENCE;
    while !all().any(PowerDisk::is_off) && Instant::now() < end {
        sleep(Duration::from_millis(1)).await;
    }
    all().for_each(PowerDisk::cut_now);
    let (names, bytes) =
        all().map(PowerDisk::at_risk).fold((0, 0), |sum, risk| (sum.0 + risk.0, sum.1 + risk.1));
    seen.at_risk += u64::from(names + bytes > 0);
    seen.names += names;
    seen.bytes += bytes;
}

/// Restarts the hosts with what their disks kept.
async fn restart(
    cluster: &mut Cluster,
    disks: &mut Disks,
    victims: &[u64],
    dice: &SeededEntropy,
    seen: &mut Seen,
    early: bool,
) -> anyhow::Result<()> {
    for &id in victims {
        let node = cluster.node(id)?;
        // Without its disk the node may already have exited.
        if node.exit()?.is_none() {
            node.kill().await?;
        }
        for disk in disks.get_mut(&id).into_iter().flatten() {
            disk.restore(dice)?;
        }
    }
    let begun = Instant::now();
    for &id in victims {
        cluster.node(id)?.start()?;
    }
    if early {
        return Ok(());
    }
    for &id in victims {
        cluster.node(id)?.ready().await.with_context(|| format!("node {id} after a power cut"))?;
    }
    seen.longest_start = seen.longest_start.max(begun.elapsed());
    eventually("a leader answers", async || Ok(cluster.client().query(Query::Status).await.ok().map(drop)))
        .await
}
