//! Planned restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::TrackerApi;
use api::client::Client;
use api::model::{CrawlId, Query};
use storage::env::SystemEntropy;
use twm_tests::cluster::{Cluster, Truth};

use crate::world::{Test, accounts, everyone, slow, submit_by};

/// Submits and reads until stopped. Returns on the first error.
async fn use_it(client: Client, stop: Arc<AtomicBool>, accounts: Vec<u64>) -> anyhow::Result<Vec<CrawlId>> {
    let mut crawls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        crawls.push(submit_by(&client, &accounts).await?);
        client.query(Query::Crawls).await?;
    }
    Ok(crawls)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_restarts_in_turn_without_an_error_at_any_client() -> Test {
    let emulator = accounts(60).faults(slow(30)).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let endpoints: Vec<String> = cluster.endpoints().split(',').map(str::to_owned).collect();
    let users: Vec<_> = (0..2)
        .map(|_| {
            let client = Client::new(endpoints.clone(), Duration::from_secs(10), &SystemEntropy::new());
            tokio::spawn(use_it(client, stop.clone(), targets[..1].to_vec()))
        })
        .collect();
    let leader = cluster.leader().await?;
    let mut restarted = cluster.rolling_restart().await?;
    stop.store(true, Ordering::Relaxed);
    assert_eq!(restarted.last(), Some(&leader));
    restarted.sort_unstable();
    assert_eq!(restarted, cluster.ids());
    for user in users {
        let crawls = user.await??;
        assert!(crawls.len() > 3, "{} submissions", crawls.len());
        for crawl in crawls {
            cluster.finished(crawl).await?;
        }
    }
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_gets_no_jobs() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    cluster.ctl_json(&["node", "drain", "2"]).await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    cluster.finished(crawl).await?;
    let of_two = |cluster: &Cluster| emulator.stats().requests.contains_key(&cluster.crawl_addresses(2)[0]);
    assert!(!of_two(&cluster));
    cluster.ctl_json(&["node", "undrain", "2"]).await?;
    let crawl = cluster.submit(&everyone(&emulator), &["-T"]).await?;
    cluster.finished(crawl).await?;
    assert!(of_two(&cluster));
    cluster.finish().await
}
