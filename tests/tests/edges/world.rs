//! Emulated populations and helpers of the edge tests.

use std::collections::BTreeSet;

use api::model::CrawlId;
use twm_tests::cluster::Cluster;
use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};

/// Result of a test.
pub type Test = anyhow::Result<()>;

/// An emulator of accounts with few tweets and followers each, and five followers per page.
pub fn accounts(users: u64) -> Builder {
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) };
    Emulator::builder().synthetic(population).page_size(5)
}

/// Delays every answer by this many milliseconds, so that a crawl takes a while.
pub fn slow(millis: u64) -> Vec<FaultRule> {
    vec![FaultRule::new(Fault::LatencyMs(millis))]
}

/// All accounts of a population.
pub fn everyone(emulator: &Emulator) -> Vec<u64> {
    emulator.users(0, u64::MAX)
}

/// The followers of these accounts that are not among them.
pub fn followers(emulator: &Emulator, accounts: &[u64]) -> BTreeSet<u64> {
    let all = accounts.iter().flat_map(|account| emulator.expected_followers(*account));
    all.filter(|follower| !accounts.contains(follower)).collect()
}

/// The accounts of a crawl's frontier, in order.
pub async fn frontier(cluster: &Cluster, crawl: CrawlId) -> anyhow::Result<Vec<u64>> {
    let exported = cluster.twm_ctl(&["frontier", "export", &crawl.to_string(), "--file", "-"]).await?;
    String::from_utf8(exported.stdout)?.lines().map(|line| Ok(line.parse()?)).collect()
}

/// Node 1 reports an outage in `/readyz`, `/metrics`, and `twm-ctl status` with its exit code.
pub async fn shown(cluster: &mut Cluster, of: &str, words: &str) -> Test {
    let node = cluster.node(1)?;
    let ready = node.page("/readyz").await?;
    anyhow::ensure!(ready.body.contains(words), "/readyz: {}", ready.body);
    let label = format!("of=\"{of}\"");
    anyhow::ensure!(node.page("/metrics").await?.metric("twm_outage", &label) == 1.0, "no metric of {of}");
    let status = cluster.twm_ctl(&["status"]).await?;
    let said = String::from_utf8_lossy(&status.stderr);
    anyhow::ensure!(status.status.code() == Some(5), "status ended with {}: {said}", status.status);
    anyhow::ensure!(said.contains("node 1: ") && said.contains(words), "status: {said}");
    Ok(())
}

/// No outage is reported anywhere.
pub async fn no_outage_is_shown(cluster: &mut Cluster) -> Test {
    let node = cluster.node(1)?;
    anyhow::ensure!(node.page("/readyz").await?.body == "ready\n", "/readyz still tells of it");
    anyhow::ensure!(node.page("/metrics").await?.metric("twm_outage", "") == 0.0, "metrics still tell of it");
    cluster.ctl_json(&["status"]).await.map(drop)
}
