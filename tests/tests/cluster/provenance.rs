//! Each file that a crawl publishes has its record, whoever dies.

use std::collections::BTreeSet;
use std::time::Duration;

use api::model::CrawlView;
use twm_tests::cluster::{Builder, Cluster, Output};
use twm_tests::emulator::Emulator;
#[cfg(feature = "s3")]
use twm_tests::s3_server::S3Server;

use crate::world::{Test, a_busy_follower, accounts, everyone, mend, slow};

/// The files of completed timelines and follower lists.
fn published(emulator: &Emulator, targets: &[u64], kinds: &[&str]) -> BTreeSet<String> {
    let files = targets.iter().flat_map(|account| {
        let items = |kind: &str| match kind {
            "twt" => emulator.expected_timeline(*account).len(),
            _ => emulator.expected_followers(*account).len(),
        };
        let there = kinds.iter().filter(move |kind| items(kind) > 0);
        there.map(move |kind| format!("{account}.{kind}")).collect::<Vec<_>>()
    });
    files.collect()
}

/// A crawl during which a worker and the leader are killed.
async fn records_equal_publications(builder: Builder) -> Test {
    let emulator = accounts(60).faults(slow(40)).start().await?;
    let builder = builder.nodes(3).session_ttl(Duration::from_secs(1));
    let mut cluster: Cluster = builder.crawling(&emulator).start().await?;
    let targets = everyone(&emulator);
    let crawl = cluster.submit(&targets, &["-T", "-F"]).await?;
    for done in [10, 30] {
        let enough = move |crawl: &CrawlView| crawl.counters.users.completed >= done;
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        let victim = if done == 10 { a_busy_follower(&cluster).await? } else { cluster.leader().await? };
        cluster.node(victim)?.kill().await?;
        cluster.restart(victim).await?;
    }
    mend(&emulator)?;
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, 60);
    cluster.drafts_removed().await?;
    cluster.stop_all().await?;

    let files = published(&emulator, &targets, &["twt", "fws"]);
    let records = cluster.is_recorded(crawl.0, &files)?;
    let mut items = 0;
    for ((file, lease), record) in &records {
        let account = file.split('.').next().unwrap_or_default().parse()?;
        let expected = match record["kind"].as_str() {
            Some("twt") => emulator.expected_timeline(account).len(),
            _ => emulator.expected_followers(account).len(),
        };
        anyhow::ensure!(record["items"] == expected, "{file} under lease {lease}: {record}");
        anyhow::ensure!(record["complete"] != false, "{file} under lease {lease}: {record}");
        items += expected as u64;
    }
    let counted: u64 = view.counters.operations.iter().map(|operation| operation.items).sum();
    assert_eq!((items, records.len()), (counted, files.len()), "each file was published once");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_a_crawl_equal_its_publications() -> Test {
    records_equal_publications(Cluster::builder().output(Output::Shared)).await
}

#[cfg(feature = "s3")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_a_crawl_into_a_bucket_equal_its_publications() -> Test {
    let server = S3Server::start().await?;
    records_equal_publications(Cluster::builder().bucket(&server)).await
}
