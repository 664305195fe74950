//! Bit flips on the disks of nodes that are down, and in the dataset.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use api::TrackerApi;
use api::model::{Answer, CrawlId, CrawlView, Query};
use redis::streams::StreamRangeReply;
use storage::env::{Entropy, SeededEntropy};
use tokio::time::{Duration, Instant, sleep};

use crate::cluster::{Cluster, DEADLINE, Truth, eventually};
use crate::emulator::{Emulator, Fault, FaultRule, SyntheticOptions};
use crate::redis_server::RedisServer;

use super::rot_dataset;

/// One in this many damages is in the dataset.
const IN_DATASET: usize = 4;

/// Part of the path of every data directory.
const DATA: &str = "data-";

/// Maximum reasons reported per kind of file.
const MOST_TOLD: usize = 3;

/// Settings of the damage.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    version,
    about = "Flips bits in the files of nodes that are down, and looks whether they notice or serve them"
)]
pub struct Arguments {
    /// Number of times that a bit is flipped, a few bytes are overwritten or an end is cut off.
    #[arg(long, default_value_t = 40)]
    pub flips: u64,
    /// Seed that decides which nodes' files are damaged, and where.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Results for the nodes with damaged files.
#[derive(Debug, Default)]
pub struct Seen {
    /// By kind of file: nodes that started, and the messages of those that did not.
    by_kind: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    /// By kind of dataset file: how often nothing was found, and how often the damage was found.
    in_dataset: BTreeMap<String, (u64, u64)>,
    /// Tweets that waited for Redis and reached it.
    mirrored: usize,
}

impl Seen {
    pub(super) fn in_dataset(&mut self, kind: String, found: bool) {
        let (unfound, times) = self.in_dataset.entry(kind).or_default();
        *(if found { times } else { unfound }) += 1;
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| file | started | refused to start, or were cut off by the leader; their disk was replaced |\n|---|---|---|"
        )?;
        for (kind, (started, refused)) in &self.by_kind {
            writeln!(f, "| {kind} | {started} | {} |", refused.values().sum::<u64>())?;
        }
        for (kind, (_, refused)) in &self.by_kind {
            let mut often: Vec<_> = refused.iter().collect();
            often.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
            for (why, times) in often.into_iter().take(MOST_TOLD) {
                writeln!(f, "{kind}: {times} times: {why}")?;
            }
        }
        writeln!(
            f,
            "| file of the dataset | the same for every reader, or a draft | found, and mended |\n|---|---|---|"
        )?;
        for (kind, (unfound, found)) in &self.in_dataset {
            writeln!(f, "| {kind} | {unfound} | {found} |")?;
        }
        writeln!(f, "{} tweets got from the spools to Redis", self.mirrored)
    }
}

/// Damages files and returns the results.
///
/// # Errors
/// A node panicked, hung, exited without naming the damaged file, or served data that differs from the
/// others.
pub async fn run(arguments: &Arguments) -> anyhow::Result<Seen> {
    let dice = SeededEntropy::new(arguments.seed);
    let below = |n: usize| (dice.next_u64() % n.max(1) as u64) as usize;
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(400, 7) };
    let emulator = Emulator::builder().synthetic(population).page_size(5).start().await?;
    let failing = emulator.users(0, 5).into_iter().map(|user| FaultRule::new(Fault::Status(500)).user(user));
    emulator.set_faults(failing.collect()).map_err(anyhow::Error::msg)?;
    let mut redis = RedisServer::start().await?;
    let mirror = format!("--redis={}", redis.url());
    let builder = Cluster::builder().nodes(3).flags(["--log-kept=100", "--max-attempts=1", mirror.as_str()]);
    let mut cluster = builder.crawling(&emulator).start().await?;
    // From now on, tweets to mirror wait on the nodes' disks.
    redis.kill().await?;
    let mut crawls = vec![cluster.submit(&emulator.users(0, 40), &["-T", "-F", "-A"]).await?];
    cluster.finished(crawls[0]).await?;
    let waiting = cluster.submit(&emulator.users(40, 300), &["-T", "-F"]).await?;
    cluster.ctl_json(&["crawl", "pause", &waiting.to_string()]).await?;
    crawls.push(waiting);
    cluster.crawl_until(waiting, "nothing runs", |crawl| crawl.leased == 0).await?;
    let mut seen = Seen::default();
    for _ in 0..arguments.flips {
        if below(IN_DATASET) == 0 {
            rot_dataset::rot(&mut cluster, &below, &mut seen).await?;
            continue;
        }
        let before = told(&cluster, &crawls).await?;
        let id = 1 + below(3) as u64;
        cluster.node(id)?.kill().await?;
        let (kind, file) = draw(&cluster.data_dir(id), &below, kind_of)?;
        let what = damage(&file, &below)?;
        let entry = seen.by_kind.entry(kind.clone()).or_default();
        let context = || format!("{kind}: {what} of {}", file.display());
        let refused = match start(&mut cluster, id, DATA).await.with_context(context)? {
            None => lead(&cluster, id).await.with_context(context)?,
            refused => refused,
        };
        match refused {
            None => {
                entry.0 += 1;
                let after = told(&cluster, &crawls).await?;
                ensure!(
                    before == after,
                    "{}: node {id} leads and tells {after:?}, not {before:?}",
                    context()
                );
                let compared = cluster.twm_ctl(&["check"]).await?;
                ensure!(
                    compared.status.success(),
                    "{}: {}{}",
                    context(),
                    String::from_utf8_lossy(&compared.stdout),
                    String::from_utf8_lossy(&compared.stderr)
                );
            }
            Some(why) => {
                *entry.1.entry(why).or_default() += 1;
                let node = cluster.node(id)?;
                if node.runs() {
                    node.kill().await?;
                }
                fs::remove_dir_all(cluster.data_dir(id))?;
                cluster.replaced(id).await?;
                cluster.restart(id).await.with_context(context)?;
                eventually("the new disk has taken its place", async || {
                    Ok(cluster.status().await?.changes.is_empty().then_some(()))
                })
                .await
                .with_context(context)?;
            }
        }
    }
    emulator.set_faults(Vec::new()).map_err(anyhow::Error::msg)?;
    cluster.ctl_json(&["crawl", "resume", &waiting.to_string()]).await?;
    let users = cluster.finished(waiting).await?.counters.users;
    ensure!(users.accepted == 300 && users.completed == 300, "the crawl that waited ended with {users:?}");
    let all = emulator.users(0, 340).into_iter();
    let good: Vec<u64> = all.skip(5).collect();
    cluster.drafts_removed().await?;
    let truth = Truth::of(&emulator).timelines(good.clone()).followers(good);
    cluster.holds(&truth).await?;
    redis.restart().await?;
    seen.mirrored = mirrored(&cluster, &redis, &emulator).await?;
    cluster.finish().await?;
    Ok(seen)
}

/// Number of tweets in Redis, once no node has waiting ones. Damaged tweets do not reach it.
async fn mirrored(cluster: &Cluster, redis: &RedisServer, emulator: &Emulator) -> anyhow::Result<usize> {
    let spools = || cluster.ids().into_iter().map(|id| cluster.data_dir(id).join("spool"));
    eventually("nothing waits for Redis", async || {
        let mut files = spools().filter_map(|spool| fs::read_dir(spool).ok()).flatten();
        Ok(files.next().is_none().then_some(()))
    })
    .await?;
    let known: BTreeSet<u64> =
        emulator.users(0, u64::MAX).into_iter().flat_map(|user| emulator.expected_timeline(user)).collect();
    let mut connection = redis.connection().await?;
    let entries: StreamRangeReply =
        redis::cmd("XRANGE").arg("twm:tweets").arg("-").arg("+").query_async(&mut connection).await?;
    for entry in &entries.ids {
        let json: String = entry.get("json").unwrap_or_default();
        let tweet: serde_json::Value = serde_json::from_str(&json).context("a tweet in Redis is no JSON")?;
        let id = tweet["id"].as_u64().unwrap_or_default();
        ensure!(known.contains(&id), "a tweet in Redis is none of the network's: {json}");
    }
    Ok(entries.ids.len())
}

/// Query results for these crawls.
type Told = Vec<(Option<CrawlView>, String)>;

async fn told(cluster: &Cluster, crawls: &[CrawlId]) -> anyhow::Result<Told> {
    let mut told = Vec::new();
    for &crawl in crawls {
        let Answer::Crawl(view) = cluster.client().query(Query::Crawl(crawl)).await? else {
            bail!("a query for crawl {crawl} was answered by something else");
        };
        // The cluster's time advances between queries.
        let view = view.map(|view| CrawlView { now: 0, ..*view });
        let errors = cluster.client().query(Query::Errors { crawl, after: None, limit: 1_000 }).await?;
        let gone = cluster.client().query(Query::Gone { crawl, after: None, limit: 1_000 }).await?;
        let frontier = cluster.client().query(Query::Frontier { crawl, from: 0 }).await?;
        told.push((view, format!("{errors:?} {gone:?} {frontier:?}")));
    }
    Ok(told)
}

/// The kind of a file of a data directory.
fn kind_of(inner: &Path) -> String {
    let inner = inner.display().to_string();
    let (above, name) = inner.rsplit_once('/').unwrap_or(("", &inner));
    let numbered = |c: char| c.is_ascii_digit() || "-.".contains(c);
    let kind = [above, name].map(|part| part.split(numbered).next().unwrap_or_default());
    kind.join("/").trim_start_matches('/').to_owned()
}

/// Draws a file of a folder and returns it with its kind; each kind is equally likely.
pub(super) fn draw(
    folder: &Path,
    below: &impl Fn(usize) -> usize,
    kind_of: impl Fn(&Path) -> String,
) -> anyhow::Result<(String, PathBuf)> {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false if fs::metadata(&path)?.len() > 0 => {
                    kinds.entry(kind_of(path.strip_prefix(folder)?)).or_default().push(path);
                }
                false => {}
            }
        }
    }
    kinds.values_mut().for_each(|files| files.sort());
    let (kind, files) = kinds.iter().nth(below(kinds.len())).context("the folder is empty")?;
    Ok((kind.clone(), files[below(files.len())].clone()))
}

/// Damages a file and returns a description.
pub(super) fn damage(file: &Path, below: &impl Fn(usize) -> usize) -> anyhow::Result<String> {
    let mut bytes = fs::read(file)?;
    let at = below(bytes.len());
    let what = match below(8) {
        0 => {
            bytes.truncate(at);
            format!("cut at byte {at}")
        }
        1 => {
            let end = bytes.len().min(at + 16);
            bytes[at..end].iter_mut().for_each(|byte| *byte = below(256) as u8);
            format!("garbage from byte {at}")
        }
        _ => {
            let bit = below(8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at}")
        }
    };
    fs::write(file, bytes)?;
    Ok(what)
}

/// Starts a node, and waits until it is ready or exits with a reason. Returns the reason, which must contain `part`
/// of the damaged file's path.
pub(super) async fn start(cluster: &mut Cluster, id: u64, part: &str) -> anyhow::Result<Option<String>> {
    let node = cluster.node(id)?;
    let read = node.log()?.len();
    node.start()?;
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(exit) = node.exit()? {
            let log = node.log()?;
            let words = log.get(read..).unwrap_or_default();
            ensure!(!words.contains("panicked at"), "node {id} panicked: {words}");
            let last = words.lines().rev().find_map(|line| line.strip_prefix("twm-node: "));
            ensure!(exit.code() == Some(1), "node {id} ended with {exit}: {words}");
            let Some(why) = last else { bail!("node {id} ended without a word: {words}") };
            ensure!(why.contains(part), "node {id} does not say which file is damaged: {why}");
            return Ok(Some(why.chars().filter(|c| !c.is_ascii_digit()).take(260).collect()));
        }
        if node.page("/readyz").await.is_ok_and(|page| page.status == 200) {
            return Ok(None);
        }
        ensure!(Instant::now() < end, "node {id} neither starts nor ends: {}", node.last_words());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Makes a node the leader. Returns the reason if the leader no longer sends it anything.
async fn lead(cluster: &Cluster, id: u64) -> anyhow::Result<Option<String>> {
    eventually(&format!("node {id} leads"), async || {
        // The node may not have caught up yet.
        let _refused = cluster.client().transfer_leader(Some(id)).await;
        let status = cluster.status().await?;
        let cut_off = status.nodes.iter().find(|node| node.id == id).and_then(|node| node.cut_off.clone());
        let why = cut_off.map(|why| Some(why.chars().filter(|c| !c.is_ascii_digit()).take(260).collect()));
        Ok(why.or((status.leader == id).then_some(None)))
    })
    .await
}
