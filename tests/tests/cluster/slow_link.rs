//! Nodes with slow links between them.

use std::time::Duration;

use api::TrackerApi;
use api::model::{Response, Write};
use storage::ids::UserId;
use twm_tests::cluster::{Cluster, Truth, eventually};
use twm_tests::link::Speed;

use crate::world::{Test, accounts, everyone, timelines};

/// 20 Mbit/s: a batch of 4 MiB takes 1.7 s, far longer than an election timeout.
const SPEED: Speed = Speed { bits: 20_000_000, delay: Duration::from_millis(15) };

/// Chunks of targets that a follower lacks, each of 8,000 ids of 13 bytes: more than one batch.
const CHUNKS: u64 = 80;
const CHUNK: u64 = 8_000;

/// A batch whose transfer takes longer than a heartbeat interval is not sent repeatedly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_behind_a_slow_link_catches_up_with_more_than_a_batch() -> Test {
    let emulator = accounts(20).start().await?;
    // Sixteen round trips, as documented.
    let election = ["--election-timeout=480ms"];
    let mut cluster =
        Cluster::builder().nodes(3).links(SPEED).flags(election).crawling(&emulator).start().await?;
    let follower = cluster.follower().await?;
    cluster.node(follower)?.kill().await?;

    let client = cluster.client();
    let spec = timelines("far");
    let created = client.write(Write::CreateCrawl { request: client.request_id(), spec }).await?;
    let Response::CrawlCreated(crawl) = created else { anyhow::bail!("no crawl was made: {created:?}") };
    for chunk in 0..CHUNKS {
        let ids = chunk * CHUNK..(chunk + 1) * CHUNK;
        let users = ids.map(|id| format!("far{id:09}").parse()).collect::<Result<Vec<UserId>, _>>()?;
        client.write(Write::AddTargets { crawl, chunk, users, seeds: false }).await?;
    }
    let last =
        cluster.status().await?.nodes.iter().filter_map(|node| Some(node.node.as_ref()?.last_log)).max();

    cluster.restart(follower).await?;
    eventually("the follower has caught up", async || {
        let status = cluster.status().await?;
        let own = status.nodes.iter().find(|node| node.id == follower);
        Ok(own.and_then(|member| member.node.as_ref()).filter(|node| Some(node.applied) >= last).map(|_| ()))
    })
    .await?;
    cluster.client().write(Write::CancelCrawl { crawl }).await?;

    // The cluster still crawls.
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T"]).await?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 20);
    cluster.drafts_removed().await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets)).await?;
    cluster.finish().await
}
