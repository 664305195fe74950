//! A node that was away during many changes.

use api::TrackerApi;
use api::model::Write;
use futures::future::try_join_all;
use twm_tests::cluster::{Cluster, Truth, eventually};

use crate::world::{Test, accounts, everyone};

/// More entries than a leader keeps for a lagging follower (5,000).
const MANY: u64 = 12_000;
const AT_ONCE: u64 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_away_for_more_than_the_log_keeps_gets_a_snapshot_and_can_lead() -> Test {
    let emulator = accounts(20).start().await?;
    let mut cluster = Cluster::builder().nodes(3).crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let first = cluster.submit(&targets[..10], &["-T"]).await?;
    cluster.finished(first).await?;
    let away = cluster.follower().await?;
    cluster.node(away)?.stop().await?;
    let second = cluster.submit(&targets[10..], &["-T"]).await?;
    cluster.finished(second).await?;
    let entries = (0..AT_ONCE).map(|_| async {
        for n in 0..MANY / AT_ONCE {
            cluster.client().write(Write::Drain { node: away, drained: n % 2 == 0 }).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(entries).await?;
    cluster.client().write(Write::Drain { node: away, drained: false }).await?;
    // The leader switches to a snapshot when its log starts after the first entry that the node lacks.
    let (leader, asked) = (cluster.leader().await?, format!("peer={away}-"));
    eventually("the leader wants to send a snapshot", async || {
        let log = cluster.node(leader)?.log()?;
        let wants = log.lines().any(|line| line.contains("sending a snapshot") && line.contains(&asked));
        Ok(wants.then_some(()))
    })
    .await?;

    cluster.restart(away).await?;
    eventually("it takes the leadership over", async || {
        let moved = cluster.twm_ctl(&["leader", "transfer", "--to", &away.to_string()]).await?;
        Ok(moved.status.success().then_some(()))
    })
    .await?;
    assert_eq!(cluster.leader().await?, away);
    for crawl in [first, second] {
        assert_eq!(cluster.crawl(crawl).await?.counters.users.completed, 10);
    }
    let third = cluster.submit(&targets, &["-F"]).await?;
    cluster.finished(third).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets)).await?;
    cluster.finish().await
}
