//! Retention and deletion of ended crawls.

use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::Emulator;

use crate::world::{Test, accounts, everyone, frontier};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_crawl_keeps_its_frontier_through_restarts_until_it_is_deleted_and_its_files_stay() -> Test {
    let emulator: Emulator = accounts(30).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets[..4], &["-F", "-A"]).await?;
    cluster.finished(crawl).await?;
    let before = frontier(&cluster, crawl).await?;
    assert!(!before.is_empty());
    for id in cluster.ids() {
        cluster.node(id)?.stop().await?;
        cluster.restart(id).await?;
    }
    assert_eq!(frontier(&cluster, crawl).await?, before);

    let running = cluster.submit(&targets[4..], &["-T"]).await?;
    let named = crawl.to_string();
    // Refused until all nodes have reported to the leader that they support it.
    eventually("the crawl is deleted", async || {
        let deleted = cluster.twm_ctl(&["crawl", "delete", &named]).await?;
        Ok(deleted.status.success().then_some(()))
    })
    .await?;
    let shown = cluster.twm_ctl(&["crawl", "show", &named]).await?;
    assert_eq!(shown.status.code(), Some(1), "{}", String::from_utf8_lossy(&shown.stdout));
    cluster.finished(running).await?;
    cluster
        .holds(
            &twm_tests::cluster::Truth::of(&emulator)
                .timelines(targets[4..].to_vec())
                .followers(targets[..4].to_vec()),
        )
        .await?;
    cluster.finish().await
}
