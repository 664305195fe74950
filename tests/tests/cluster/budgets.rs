//! Rate budgets.

use std::time::Duration;

use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::emulator::{Emulator, Endpoint, RateLimits};

use crate::world::{Test, accounts, everyone, population};

fn limits(text: &str) -> anyhow::Result<RateLimits> {
    text.parse().map_err(anyhow::Error::msg)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_sent_beyond_an_addresses_budget() -> Test {
    let emulator = accounts(30).rate_limits(limits("timeline=12/1s,followers=40/1s")?).start().await?;
    let mut cluster = Cluster::builder().addresses(3).workers(8).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.finished(crawl).await?;
    let stats = emulator.stats();
    assert_eq!(stats.total_violations(), 0, "{:?}", stats.violations);
    for address in cluster.crawl_addresses(1) {
        assert!(stats.requests_from(address, Endpoint::Timeline) > 0, "{address} has a budget of its own");
    }
    // Walks that continued under another lease have left their first drafts.
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_remembers_what_it_has_spent() -> Test {
    let emulator = accounts(10).rate_limits(limits("timeline=8/2s")?).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    for sent in [3, 7, 12] {
        eventually("some more requests were sent", async || {
            Ok((emulator.stats().total_requests() >= sent).then_some(()))
        })
        .await?;
        cluster.node(1)?.kill().await?;
        cluster.restart(1).await?;
    }
    cluster.finished(crawl).await?;
    assert_eq!(emulator.stats().total_violations(), 0);
    cluster.drafts_removed().await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_address_exceeds_its_rate_budget_during_failover() -> Test {
    let limits = limits("timeline=10/2s,followers=10/2s,lookup=10/2s")?;
    let emulator =
        Emulator::builder().synthetic(population(60)).page_size(20).rate_limits(limits).start().await?;
    let builder = Cluster::builder().nodes(3).addresses(3).session_ttl(Duration::from_secs(1));
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    for done in [5, 20] {
        let enough = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        let leader = cluster.leader().await?;
        cluster.node(leader)?.kill().await?;
        let other = cluster.leader().await?;
        assert_ne!(other, leader);
        cluster.restart(leader).await?;
    }
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    let stats = emulator.stats();
    assert_eq!(stats.total_violations(), 0, "{:?}", stats.violations);
    cluster.drafts_removed().await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}
