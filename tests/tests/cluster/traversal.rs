//! Where admitted accounts go.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where its scene cannot be set")]

use std::collections::BTreeSet;

use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::emulator::{Emulator, Endpoint, Fault, FaultRule};

use crate::world::{Test, accounts, everyone, followers, frontier, population, slow};

/// All that can be reached from these accounts by way of followers that have a profile, without going through `not`.
fn reach(emulator: &Emulator, from: &[u64], not: Option<u64>) -> BTreeSet<u64> {
    let mut reached: BTreeSet<u64> = from.iter().copied().collect();
    let mut next = from.to_vec();
    while let Some(account) = next.pop() {
        let found = emulator.expected_followers(account).into_iter();
        let found = found.filter(|id| Some(*id) != not && emulator.profile(*id).is_some());
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
    let reached = reach(&emulator, targets, None);
    assert!(reached.len() > 10, "{} accounts are within reach", reached.len());
    assert_eq!(crawl.counters.users.accepted, reached.len() as u64);
    assert_eq!(crawl.counters.frontier, 0);
    cluster.holds(&Truth::of(&emulator).timelines(reached.clone()).followers(reached))?;
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
    cluster.holds(&Truth::of(&emulator).followers(crawled.clone()))?;
    let beyond = followers(&emulator, &crawled.into_iter().collect::<Vec<_>>());
    assert!(!beyond.is_empty());
    assert_eq!(frontier(&cluster, crawl.id).await?.into_iter().collect::<BTreeSet<_>>(), beyond);
    cluster.finish().await
}

/// The accounts whose timelines one worker asked for up to the first request about the second of two targets, and
/// what is within reach of the first target.
async fn asked_before_the_second(traversal: &str) -> anyhow::Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let emulator = accounts(25).start().await?;
    let all = everyone(&emulator);
    let first = all.iter().copied().find(|account| emulator.expected_followers(*account).len() > 4);
    let first = first.expect("an account with followers");
    let second = all.into_iter().find(|account| *account != first).expect("another account");
    // As long as nothing else is asked for, the emulator can be looked at.
    let rules = vec![FaultRule::new(Fault::LatencyMs(1500)).user(second).at(Endpoint::Timeline).times(1)];
    emulator.set_faults(rules.into_iter().chain(slow(1)).collect()).map_err(anyhow::Error::msg)?;
    let cluster = Cluster::builder().workers(1).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[first, second], &["-T", "-F", "-A", "--traverse", traversal]).await?;
    let asked = eventually("the second target is asked for", async || {
        let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
        Ok(asked.contains_key(&second).then_some(asked))
    });
    let mut asked: BTreeSet<u64> = asked.await?.into_keys().collect();
    asked.remove(&second);
    let within = reach(&emulator, &[first], Some(second));
    cluster.finished(crawl).await?;
    cluster.finish().await?;
    Ok((asked, within))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breadth_first_takes_all_targets_first() -> Test {
    let (asked, _) = asked_before_the_second("bfs").await?;
    assert_eq!(asked.len(), 1, "{asked:?}");
    Ok(())
}
