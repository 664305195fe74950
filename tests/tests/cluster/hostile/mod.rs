//! One host that attacks a cluster during a crawl: memory stays bounded and the crawl succeeds.

mod attacker;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use api::model::CrawlPhase;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage::net::trust::{Trust, TrustFiles};
use tokio::time::{Instant, sleep};
use twm_tests::cluster::{Cluster, DEADLINE, Truth};
use twm_tests::emulator::{Builder, Emulator};

use crate::world::{Test, accounts, everyone, slow};
use attacker::{Attack, Attacker, ROUND};

/// Maximum growth of a node's resident memory.
const MOST_GROWTH: u64 = 200_000_000;

const LOOK_EVERY: Duration = Duration::from_millis(200);

fn world() -> Builder {
    accounts(300).faults(slow(5))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_host_takes_little_memory_and_stops_no_crawl() -> Test {
    let emulator = world().start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    under_attack(&mut cluster, &emulator, None).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_host_with_a_viewers_certificate_takes_little_memory_and_stops_no_crawl() -> Test {
    let emulator = world().start().await?;
    let mut cluster = Cluster::builder().nodes(3).tls().crawling(&emulator).start().await?;
    let files: Vec<PathBuf> = cluster
        .tls_flags("viewer-guest")
        .iter()
        .filter_map(|flag| Some(PathBuf::from(flag.split_once('=')?.1)))
        .collect();
    let [ca, cert, key] = <[PathBuf; 3]>::try_from(files).ok().context("three files make a certificate")?;
    let trust = Trust::load(TrustFiles { ca, cert, key })?;
    under_attack(&mut cluster, &emulator, Some(trust)).await?;
    cluster.finish().await
}

/// Crawls while one host runs every attack on all nodes.
async fn under_attack(cluster: &mut Cluster, emulator: &Emulator, trust: Option<Trust>) -> Test {
    let trusted = trust.is_some();
    // The attacker has thousands of connections.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let before = resident(cluster)?;
    let nodes = cluster.ids().into_iter().map(|id| Ok((id, cluster.address(id)?.parse()?)));
    let nodes = nodes.collect::<anyhow::Result<Vec<_>>>()?;
    let status = cluster.status().await?;
    let attacker = Attacker::begin(nodes, trust, status.id).await?;
    let mut most = before.clone();

    let every_attack = Instant::now() + ROUND;
    while Instant::now() < every_attack {
        grown(cluster, &mut most)?;
        sleep(LOOK_EVERY).await;
    }
    let targets = everyone(emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    let deadline = Instant::now() + 3 * DEADLINE;
    let view = loop {
        grown(cluster, &mut most)?;
        let view = cluster.crawl(crawl).await?;
        if view.phase == CrawlPhase::Finished {
            break view;
        }
        ensure!(Instant::now() < deadline, "the crawl does not end: {:?}", view.counters);
        sleep(LOOK_EVERY).await;
    };
    let done = attacker.end().await;
    let shown = before.iter().zip(&most).map(|(before, most)| format!("{} to {}", before >> 20, most >> 20));
    eprintln!("MiB resident: {}; {done:?}", shown.collect::<Vec<_>>().join(", "));

    assert_eq!(view.counters.users.completed, 300);
    for (before, most) in before.iter().zip(&most) {
        assert!(most - before < MOST_GROWTH, "grew from {} to {} MiB", before >> 20, most >> 20);
    }
    for attack in Attack::ALL {
        let done = done[&attack];
        assert!(done.tried > 0, "{attack:?} was not tried");
        // A viewer cannot pose as a node; all other attacks get as far as intended.
        match attack {
            Attack::Silence => {}
            Attack::Impostors if trusted => assert_eq!(done.welcomed, 0, "{attack:?}"),
            _ => assert!(done.welcomed > 0, "{attack:?} never got in"),
        }
        if matches!(attack, Attack::HalfFrames) {
            assert!(done.refused > 0, "{attack:?}: more connections than a host may have were all let in");
        }
        if matches!(attack, Attack::DenseReports | Attack::LongCommands | Attack::MadeUpDrains) {
            assert!(done.answered > 0, "{attack:?} was never answered");
        }
    }
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(emulator).timelines(targets)).await
}

/// Current resident memory of each node, in bytes.
fn resident(cluster: &mut Cluster) -> anyhow::Result<Vec<u64>> {
    cluster
        .ids()
        .into_iter()
        .map(|id| {
            let status = fs::read_to_string(format!("/proc/{}/status", cluster.node(id)?.process_id()?))?;
            let line =
                status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS is missing")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
        })
        .collect()
}

/// Updates the maximum of each node.
fn grown(cluster: &mut Cluster, most: &mut [u64]) -> Test {
    for (most, now) in most.iter_mut().zip(resident(cluster)?) {
        *most = now.max(*most);
    }
    Ok(())
}
