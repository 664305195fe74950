//! Three distant nodes: links of 100 Mbit/s with a delay of 15 ms each way.

use std::io::ErrorKind;
use std::time::Duration;
use storage::dataset::SourceName;

use anyhow::{Context, bail};
use api::TrackerApi;
use api::model::{CrawlSpec, Operation, Operations, Response, Traversal, Write};
use storage::ids::UserId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

use crate::link::{Link, Speed};

use super::Settings;
use super::asker::Asker;
use super::cluster::{Cluster, Program, free_address};
use super::lifecycles::{Entrance, Lifecycles};
use super::rate::Stock;
use super::report::{Report, percentile};
use super::targets::Targets;
use super::worker::Worker;

const SPEED: Speed = Speed { bits: 100_000_000, delay: Duration::from_millis(15) };
const REPLICAS: u64 = 3;
const CLIENTS: u64 = 16;
const JOBS: u16 = 256;

/// Entries that a follower misses: number of chunks, targets per chunk, and bytes per id.
const CHUNKS: u64 = 400;
const CHUNK: u64 = 2_000;
const ID_BYTES: usize = 250;

/// Timeout for a follower to catch up.
const PATIENCE: Duration = Duration::from_secs(180);

const LOOK_PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("replicas", REPLICAS);
    report.setting("link, Mbit/s and ms each way", "100, 15");
    bare_link(report).await?;
    lifecycles(settings, report).await?;
    catching_up(settings, report).await?;
    failover(settings, report).await
}

/// Throughput of the link with a single connection that only sends, as a share of its speed.
async fn bare_link(report: &mut Report) -> anyhow::Result<()> {
    const BYTES: usize = 50_000_000;
    let (server, link) = (TcpListener::bind("127.0.0.1:0").await?, free_address()?);
    let _link = Link::open(&link, &server.local_addr()?.to_string(), SPEED).await?;
    let began = Instant::now();
    let send = async { TcpStream::connect(&link).await?.write_all(&vec![0; BYTES]).await };
    let receive = async {
        let (mut stream, _) = server.accept().await?;
        let mut piece = vec![0; 1 << 20];
        let mut got = 0;
        while got < BYTES {
            match stream.read(&mut piece).await? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => got += read,
            }
        }
        Ok(())
    };
    tokio::try_join!(send, receive)?;
    let share = BYTES as f64 / began.elapsed().as_secs_f64() / SPEED.bytes() * 100.0;
    report.add("the link itself, of its speed", "%", "", share);
    Ok(())
}

async fn lifecycles(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    for entrance in [Entrance::Leader, Entrance::Spread] {
        let mut cluster = Cluster::linked(Program::Tracker, REPLICAS, settings.disks()?, Some(SPEED)).await?;
        let leader = cluster.healthy().await?;
        let targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
        let submitted = Vec::new();
        let mut work =
            Lifecycles { cluster, leader, targets, clients: CLIENTS, entrance, jobs: JOBS, submitted };
        let rate = Stock::default().measure(&mut work, settings.window()).await?;
        let at = if entrance == Entrance::Leader { "at the leader" } else { "spread" };
        eprintln!("  {at}: {:.0} jobs/s", rate.a_second());
        report.add(format!("lifecycles, {CLIENTS} clients {at}"), "jobs/s", "20,000", rate.a_second());
    }
    Ok(())
}

/// A follower is down while 200 MB are written.
async fn catching_up(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let mut cluster = Cluster::linked(Program::Tracker, REPLICAS, settings.disks()?, Some(SPEED)).await?;
    let leader = cluster.healthy().await?;
    let away = cluster.ids().find(|&id| id != leader).context("there is no follower")?;
    cluster.kill(away).await?;
    let client = cluster.client(leader);
    let spec = CrawlSpec {
        name: "far".to_owned(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    };
    let created = client.write(Write::CreateCrawl { request: client.request_id(), spec }).await?;
    let Response::CrawlCreated(crawl) = created else { bail!("no crawl was made: {created:?}") };
    for chunk in 0..CHUNKS {
        let ids = chunk * CHUNK..(chunk + 1) * CHUNK;
        let users = ids.map(|id| format!("u{id:0ID_BYTES$}").parse()).collect::<Result<Vec<UserId>, _>>()?;
        client.write(Write::AddTargets { crawl, chunk, users, seeds: false }).await?;
    }
    let goal = cluster.status(leader).await.context("the leader does not answer")?.last_log;
    let started = Instant::now();
    cluster.start_node(away)?;
    while cluster.status(away).await.is_none_or(|status| status.applied < goal) {
        if started.elapsed() > PATIENCE {
            bail!("the follower has not caught up after {PATIENCE:?}");
        }
        sleep(LOOK_PAUSE).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let bytes = (CHUNKS * CHUNK * ID_BYTES as u64) as f64;
    let share = bytes / seconds / SPEED.bytes() * 100.0;
    eprintln!("  {:.0} MB in {seconds:.1} s: {share:.0} % of the link", bytes / 1e6);
    report.add("a follower 200 MB behind, started to caught up", "s", "", seconds);
    report.add("the same, of the link", "%", "80", share);
    Ok(())
}

async fn failover(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("kills", settings.kills);
    let mut cluster = Cluster::linked(Program::Tracker, REPLICAS, settings.disks()?, Some(SPEED)).await?;
    let leader = cluster.healthy().await?;
    let mut targets = Targets::open(cluster.client(leader), Operation::Timeline, 0).await?;
    targets.add(3_000 * u64::from(settings.kills)).await?;
    let mut asker = Asker::start(Worker::open(cluster.client(1), 1, 1).await?, 1);
    let mut pauses = Vec::new();
    for _ in 0..settings.kills {
        let leader = cluster.healthy().await?;
        let killed = Instant::now();
        cluster.kill(leader).await?;
        pauses.push(asker.grant_after(killed).await?.duration_since(killed).as_secs_f64() * 1e3);
        cluster.start_node(leader)?;
    }
    let completed = asker.end().await?;
    cluster.healthy().await?;
    targets.verify(completed).await?;
    report.add("leader killed to next grant, median", "ms", "< 1,000", percentile(&pauses, 0.5));
    report.add("leader killed to next grant, worst", "ms", "< 3,000 of 20", percentile(&pauses, 1.0));
    Ok(())
}
