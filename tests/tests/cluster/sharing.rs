//! Several nodes on one crawl.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use twm_tests::cluster::{Cluster, Output, Truth};
use twm_tests::emulator::Emulator;

use crate::world::{Test, accounts, everyone, slow};

/// Nodes that sent requests.
fn at_work(cluster: &Cluster, emulator: &Emulator) -> Vec<u64> {
    let requests = emulator.stats().requests;
    let works = |id: &u64| cluster.crawl_addresses(*id).iter().any(|address| requests.contains_key(address));
    cluster.ids().into_iter().filter(works).collect()
}

async fn all_nodes_work_at_one_crawl(nodes: u64, output: Output) -> Test {
    let emulator = accounts(60).faults(slow(20)).start().await?;
    let builder = Cluster::builder().nodes(nodes).output(output).addresses(2).crawling(&emulator);
    let cluster = builder.start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let crawl = cluster.finished(crawl).await?;
    assert_eq!(crawl.counters.users.completed, 60);
    assert_eq!(at_work(&cluster, &emulator), cluster.ids());
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_with_two_addresses() -> Test {
    all_nodes_work_at_one_crawl(1, Output::Local).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_with_one_folder() -> Test {
    all_nodes_work_at_one_crawl(3, Output::Shared).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_with_a_folder_each() -> Test {
    all_nodes_work_at_one_crawl(3, Output::Local).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_with_a_folder_each() -> Test {
    all_nodes_work_at_one_crawl(5, Output::Local).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_crawl_is_not_starved_by_a_big_one() -> Test {
    let emulator = accounts(400).faults(slow(40)).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let (big, small) = (emulator.users(0, 390), emulator.users(390, 4));
    let big = cluster.submit(&big, &["-T"]).await?;
    cluster.crawl_until(big, "some accounts are done", |crawl| crawl.counters.users.completed > 3).await?;
    let small = cluster.submit(&small, &["-T"]).await?;
    cluster.finished(small).await?;
    let big = cluster.crawl(big).await?;
    assert!(big.counters.users.waiting > 200, "the big crawl was in the middle: {:?}", big.counters.users);
    cluster.ctl_json(&["crawl", "cancel", &big.id.to_string()]).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_without_work_keep_their_sessions() -> Test {
    let emulator = accounts(1).start().await?;
    let ttl = Duration::from_millis(1500);
    let cluster = Cluster::builder().nodes(3).session_ttl(ttl).crawling(&emulator).start().await?;
    let sessions = async || -> anyhow::Result<Vec<_>> {
        Ok(cluster.status().await?.sessions.iter().map(|session| session.id).collect())
    };
    let begun = sessions().await?;
    assert_eq!(begun.len(), 3);
    let until = Instant::now() + 4 * ttl;
    while Instant::now() < until {
        assert_eq!(sessions().await?, begun);
        sleep(ttl / 10).await;
    }
    cluster.finish().await
}
