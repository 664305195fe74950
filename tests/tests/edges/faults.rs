//! The faults of the original program that a crawl showed, each by its number in the list of formats and faults: none may
//! come back. Number 4 is all of [`crate::api`]; 3 and 5 are about files.

use std::time::Duration;

use tokio::time::timeout;
use twm_tests::cluster::{Cluster, Truth};
use twm_tests::emulator::{Emulator, Endpoint, Fault, FaultRule, RateLimits, SyntheticOptions};

use crate::world::{Test, accounts, everyone, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_1_a_crash_with_many_jobs_in_flight_needs_a_restart_and_nothing_else() -> Test {
    let emulator = accounts(40).faults(slow(30)).start().await?;
    let mut cluster = Cluster::builder().workers(8).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "many are in flight", |crawl| crawl.leased > 4).await?;
    cluster.node(1)?.kill().await?;
    cluster.restart(1).await?;
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 40);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_2_and_10_a_worker_killed_at_any_moment_doubles_nothing_and_leaves_no_file() -> Test {
    let emulator = accounts(60).faults(slow(5)).start().await?;
    let mut cluster = Cluster::builder().workers(8).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    for done in [5, 15, 30, 45] {
        cluster.crawl_until(crawl, "more are done", |crawl| crawl.counters.users.completed >= done).await?;
        cluster.node(1)?.kill().await?;
        cluster.restart(1).await?;
    }
    assert_eq!(cluster.finished(crawl).await?.counters.users.completed, 60);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_6_a_target_twice_is_crawled_once_and_a_404_drops_one_operation_alone() -> Test {
    let emulator = accounts(20).count_users(true).start().await?;
    let targets = everyone(&emulator);
    let lost = targets.iter().copied().find(|user| !emulator.expected_followers(*user).is_empty());
    let lost = lost.unwrap_or_default();
    let rule = FaultRule::new(Fault::Status(404)).user(lost).at(Endpoint::Timeline);
    emulator.set_faults(vec![rule]).map_err(anyhow::Error::msg)?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let crawl = cluster.submit(&[&targets[..], &targets[..]].concat(), &["-T", "-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.accepted, view.counters.users.completed), (20, 20));
    let asked = emulator.stats().users.remove(&Endpoint::Timeline).unwrap_or_default();
    for (user, requests) in asked {
        let pages = emulator.expected_timeline(user).len().div_ceil(200) as u64;
        assert!(
            requests <= pages + 1,
            "{user}: {requests} requests for {pages} pages and the end of the walk"
        );
    }
    let timelines = targets.iter().copied().filter(|user| *user != lost);
    cluster.holds(&Truth::of(&emulator).timelines(timelines).followers(targets.clone()))?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_7_eighty_thousand_discovered_ids_are_delivered() -> Test {
    const FOLLOWERS: u64 = 85_000;
    let population = SyntheticOptions {
        celebrity: Some(FOLLOWERS),
        tweets_mean: 1.0,
        followers_mean: 1.0,
        ..SyntheticOptions::new(100_000, 7)
    };
    let emulator = Emulator::builder().synthetic(population).start().await?;
    let cluster = Cluster::builder().crawling(&emulator).start().await?;
    let celebrity = emulator.users(0, 1);
    let found = emulator.expected_followers(celebrity[0]).len() as u64;
    assert!(found > 80_000, "{found}");
    let crawl = cluster.submit(&celebrity, &["-F", "-A"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.discovered, view.counters.users.completed), (found, 1));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_8_a_lasting_500_starves_nobody() -> Test {
    let emulator = accounts(20).start().await?;
    let targets = everyone(&emulator);
    let rules = targets[..8].iter().map(|user| FaultRule::new(Fault::Status(500)).user(*user));
    emulator.set_faults(rules.collect()).map_err(anyhow::Error::msg)?;
    let cluster =
        Cluster::builder().workers(2).flags(["--max-attempts=3"]).crawling(&emulator).start().await?;
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    let view =
        cluster.crawl_until(crawl, "all others are done", |c| c.counters.users.completed == 12).await?;
    assert_eq!(view.counters.users.failed, 0, "the others are done first");
    let view = cluster.finished(crawl).await?;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (12, 8));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_9_an_empty_queue_puts_nobody_to_sleep_and_the_last_answer_of_a_window_counts() -> Test {
    let limits: RateLimits = "timeline=2/1s".parse().map_err(anyhow::Error::msg)?;
    let emulator = accounts(3).rate_limits(limits).start().await?;
    let mut cluster = Cluster::builder().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    for target in &targets {
        // Between two crawls the queue is empty.
        let crawl = cluster.submit(&[*target], &["-T"]).await?;
        timeout(Duration::from_secs(20), cluster.finished(crawl)).await??;
    }
    let stats = emulator.stats();
    let pages = |user: &u64| if emulator.expected_timeline(*user).is_empty() { 1 } else { 2 };
    let needed: u64 = targets.iter().map(pages).sum();
    assert_eq!(stats.requests_to(Endpoint::Timeline), needed, "no answer was thrown away");
    assert_eq!(stats.total_violations(), 0);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets))?;
    cluster.finish().await
}
