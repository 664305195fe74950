//! Nodes that freeze past the end of their leases and then resume.

use std::time::Duration;

use twm_tests::cluster::{Cluster, Output, Truth};

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, session, slow};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_frozen_past_its_lease_does_no_harm_in_a_shared_folder() -> Test {
    let emulator = accounts(40).faults(slow(150)).start().await?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).crawling(&emulator);
    let mut cluster = builder.start().await?;
    let targets = everyone(&emulator);
    let truth = Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone());
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let frozen = a_busy_follower(&cluster).await?;
    cluster.node(frozen)?.freeze()?;
    session(&cluster, frozen, false).await?;
    mend(&emulator)?;
    // The crawl does not wait for the frozen node: other nodes publish the jobs that it had completed.
    cluster.finished(crawl).await?;
    truth.check(&cluster.outputs())?;
    cluster.node(frozen)?.thaw()?;
    session(&cluster, frozen, true).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&truth).await?;
    assert_eq!(cluster.crawl(crawl).await?.counters.users.completed, 40);
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_frozen_past_its_lease_leaves_no_second_copy_in_its_own_folder() -> Test {
    let emulator = accounts(40).faults(slow(150)).start().await?;
    let builder = Cluster::builder().nodes(3).output(Output::Local).session_ttl(Duration::from_secs(1));
    let mut cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    let frozen = a_busy_follower(&cluster).await?;
    cluster.node(frozen)?.freeze()?;
    session(&cluster, frozen, false).await?;
    mend(&emulator)?;
    // Other nodes finish its running jobs before it resumes.
    let leased = |crawl: &api::model::CrawlView| crawl.leased + crawl.queued == 0;
    cluster.crawl_until(crawl, "no job runs or waits", leased).await?;
    cluster.node(frozen)?.thaw()?;
    cluster.finished(crawl).await?;
    session(&cluster, frozen, true).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_replaced_and_follows_when_it_wakes() -> Test {
    let emulator = accounts(40).faults(slow(50)).start().await?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(1)).crawling(&emulator);
    let mut cluster = builder.start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    cluster.crawl_until(crawl, "some accounts are done", |crawl| crawl.counters.users.completed >= 5).await?;
    let frozen = cluster.leader().await?;
    cluster.node(frozen)?.freeze()?;
    cluster.finished(crawl).await?;
    let leader = cluster.leader().await?;
    assert_ne!(leader, frozen);
    cluster.node(frozen)?.thaw()?;
    session(&cluster, frozen, true).await?;
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}
