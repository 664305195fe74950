//! Destinations of admitted accounts.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where its scene cannot be set")]

use std::collections::BTreeSet;

use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::emulator::{Emulator, Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone, followers, frontier, population};

/// All accounts that are reachable from these through followers that have a profile.
fn reach(emulator: &Emulator, from: &[u64]) -> BTreeSet<u64> {
    let mut reached: BTreeSet<u64> = from.iter().copied().collect();
    let mut next = from.to_vec();
    while let Some(account) = next.pop() {
        let found = emulator.expected_followers(account).into_iter();
        let found = found.filter(|id| emulator.profile(*id).is_some());
        next.extend(found.filter(|id| reached.insert(*id)).collect::<Vec<_>>());
    }
    reached
}

async fn crawls_all_within_reach(traversal: &str) -> Test {
    let mut options = population(30);
    options.outside_percent = 30.0;
    let emulator = Emulator::builder().synthetic(options).page_size(5).start().await?;
    let cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let targets = &everyone(&emulator)[..2];
    let crawl = cluster.submit(targets, &["-T", "-F", "-A", "--traverse", traversal]).await?;
    let crawl = cluster.finished(crawl).await?;
    let reached = reach(&emulator, targets);
    assert!(reached.len() > 10, "{} accounts are within reach", reached.len());
    assert_eq!(crawl.counters.users.accepted, reached.len() as u64);
    assert_eq!(crawl.counters.frontier, 0);
    cluster.holds(&Truth::of(&emulator).timelines(reached.clone()).followers(reached)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breadth_first_crawls_all_within_reach() -> Test {
    crawls_all_within_reach("bfs").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_first_crawls_all_within_reach() -> Test {
    crawls_all_within_reach("dfs").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_depth_of_one_crawls_followers_and_leaves_theirs_to_the_frontier() -> Test {
    let emulator = accounts(80).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let everyone = everyone(&emulator);
    let target = everyone.into_iter().find(|account| emulator.expected_followers(*account).len() > 4);
    let target = [target.expect("an account with followers")];
    let crawl = cluster.submit(&target, &["-F", "-A", "--traverse", "bfs", "--depth", "1"]).await?;
    let crawl = cluster.finished(crawl).await?;

    let mut crawled = followers(&emulator, &target);
    crawled.extend(target);
    assert_eq!(crawl.counters.users.completed, crawled.len() as u64);
    cluster.holds(&Truth::of(&emulator).followers(crawled.clone())).await?;
    let beyond = followers(&emulator, &crawled.into_iter().collect::<Vec<_>>());
    assert!(!beyond.is_empty());
    assert_eq!(frontier(&cluster, crawl.id).await?.into_iter().collect::<BTreeSet<_>>(), beyond);
    cluster.finish().await
}

/// Number of non-targets whose timeline one worker had fetched when it reached the last of twelve targets,
/// and the number of all non-targets.
async fn others_before_the_last_target(traversal: &str) -> anyhow::Result<(usize, usize)> {
    let emulator = accounts(40).start().await?;
    let targets = emulator.users(0, 12);
    let last = targets[11];
    // While the answer for the last target is delayed, nothing else is requested, and the emulator's counters can be
    // read.
    let rule = FaultRule::new(Fault::LatencyMs(1500)).user(last).at(Endpoint::Timeline).times(1);
    emulator.set_faults(vec![rule]).map_err(anyhow::Error::msg)?;
    let cluster = Cluster::builder().workers(1).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A", "--traverse", traversal]).await?;
    let asked = eventually("the last target is asked for", async || {
        let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
        Ok(asked.contains_key(&last).then_some(asked))
    });
    let others = asked.await?.into_keys().filter(|account| !targets.contains(account)).count();
    let view = cluster.finished(crawl).await?;
    cluster.finish().await?;
    Ok((others, view.counters.users.accepted as usize - targets.len()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_first_goes_down_before_it_takes_the_next_target() -> Test {
    let (before, all) = others_before_the_last_target("dfs").await?;
    assert!(all > 10 && before * 2 > all, "{before} of {all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breadth_first_takes_all_targets_first() -> Test {
    let (before, all) = others_before_the_last_target("bfs").await?;
    assert!(all > 10 && before == 0, "{before} of {all}");
    Ok(())
}
