//! One account with very many followers.

use std::fs;

use anyhow::Context;
use api::model::Operation;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Emulator, IdScheme, SyntheticOptions};

use crate::world::{Test, population};

const FOLLOWERS: u64 = 200_000;

/// Memory that a node may use beyond that of an idle node, in bytes. The profiles of all followers together take six
/// times as much.
const ROOM: u64 = 100_000_000;

/// A value of the node's `/proc/PID/status`, in bytes.
fn memory(cluster: &mut Cluster, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.node(1)?.process_id()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such value")?;
    let kilobytes = line.trim_start_matches(':').trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// The node is killed twice during the analysis and resumes after the part already done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn her_followers_are_fetched_and_analysed_in_little_memory_and_through_kills() -> Test {
    let options = SyntheticOptions {
        celebrity: Some(FOLLOWERS),
        ids: IdScheme::Hashed,
        followers_mean: 0.0,
        tweets_mean: 0.0,
        ..population(FOLLOWERS + 1)
    };
    let emulator: Emulator = Emulator::builder().synthetic(options).start().await?;
    let celebrity = emulator.users(0, 1)[0];
    let mut cluster = Cluster::builder().nodes(1).addresses(4).crawling(&emulator).start().await?;
    let idle = memory(&mut cluster, "VmRSS")?;
    let crawl = cluster.submit(&[celebrity], &["-F", "-A"]).await?;
    let mut most = 0;
    for kill_at in [FOLLOWERS / 20, FOLLOWERS / 2] {
        cluster.crawl_until(crawl, "a part is analysed", |crawl| crawl.counters.discovered > kill_at).await?;
        most = most.max(memory(&mut cluster, "VmHWM")?);
        cluster.node(1)?.kill().await?;
        cluster.restart(1).await?;
    }
    let counters = cluster.finished(crawl).await?.counters;
    most = most.max(memory(&mut cluster, "VmHWM")?);
    assert_eq!(
        (counters.discovered, counters.admitted, counters.frontier),
        (FOLLOWERS, FOLLOWERS, FOLLOWERS)
    );
    let done = [Operation::Followers, Operation::Analysis]
        .map(|operation| counters.operations[operation.index()].completed);
    assert_eq!((counters.users.completed, done), (1, [1, 1]));
    cluster.holds(&Truth::of(&emulator).followers([celebrity])).await?;
    assert!(most - idle < ROOM, "{} MB beside an idle node's {} MB", (most - idle) >> 20, idle >> 20);
    cluster.finish().await
}
