//! Nodes that die in the middle of a crawl.

use std::time::Duration;

use twm_tests::cluster::{Builder, Cluster, Output, Truth};

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, session, slow};

fn three_nodes() -> Builder {
    Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawl_outlives_its_leader() -> Test {
    let emulator = accounts(60).faults(slow(30)).start().await?;
    let mut cluster = three_nodes().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "ten accounts are done", |crawl| crawl.counters.users.completed >= 10).await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    assert_ne!(cluster.leader().await?, leader);
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets);
    truth.check(&cluster.outputs())?;
    cluster.restart(leader).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_killed_worker_run_elsewhere() -> Test {
    let emulator = accounts(40).faults(slow(300)).start().await?;
    let mut cluster = three_nodes().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let victim = a_busy_follower(&cluster).await?;
    cluster.node(victim)?.kill().await?;
    let killed = cluster.status().await?.now;
    session(&cluster, victim, false).await?;
    let ended = cluster.status().await?.now;
    assert!(ended - killed < 20_000, "the session of 2 s ended {} ms after its node", ended - killed);
    let requests = emulator.stats().requests.remove(&cluster.crawl_addresses(victim)[0]);
    mend(&emulator)?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 40);
    assert_eq!(emulator.stats().requests.remove(&cluster.crawl_addresses(victim)[0]), requests);
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets);
    truth.check(&cluster.outputs())?;
    cluster.restart(victim).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&truth).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_lost_node_are_fetched_again_by_those_that_need_them() -> Test {
    let emulator = accounts(40).faults(slow(60)).start().await?;
    let builder = three_nodes().output(Output::Local).flags(["--storage-grace=1s"]).crawling(&emulator);
    let mut cluster = builder.start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    cluster.crawl_until(crawl, "some accounts are done", |crawl| crawl.counters.users.completed >= 5).await?;
    let victim = a_busy_follower(&cluster).await?;
    cluster.node(victim)?.kill().await?;
    mend(&emulator)?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 40);
    // Files that the lost node finished count in its output; only unfinished work is repeated.
    Truth::of(&emulator).timelines(targets.clone()).followers(targets).copies().check(&cluster.outputs())?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crawl_goes_on_after_all_nodes_were_killed_at_once() -> Test {
    let emulator = accounts(60).faults(slow(30)).start().await?;
    let mut cluster = three_nodes().crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    for done in [5, 20, 35] {
        let enough = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        cluster.kill_all().await?;
        cluster.start_all()?;
    }
    cluster.ready().await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_goes_on_after_it_was_killed() -> Test {
    let emulator = accounts(40).faults(slow(20)).start().await?;
    let mut cluster = Cluster::builder().output(Output::Local).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    for done in [5, 15, 25] {
        let enough = |crawl: &api::model::CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        cluster.node(1)?.kill().await?;
        cluster.restart(1).await?;
    }
    cluster.finished(crawl).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}
