//! Emulated populations and helpers of the cluster tests.

use std::collections::BTreeSet;
use storage::dataset::SourceName;

use api::TrackerApi;
use api::client::Client;
use api::model::{CrawlId, CrawlSpec, Operation, Operations, Response, Traversal, Write};
use serde_json::Value;
use storage::ids::UserId;
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};

/// Result of a test.
pub type Test = anyhow::Result<()>;

/// A population with few tweets and followers each.
pub fn population(users: u64) -> SyntheticOptions {
    SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) }
}

/// An emulator of such a population, with five followers per page.
pub fn accounts(users: u64) -> Builder {
    Emulator::builder().synthetic(population(users)).page_size(5).count_users(true)
}

/// Delays every answer by this many milliseconds, so that a crawl takes a while.
pub fn slow(millis: u64) -> Vec<FaultRule> {
    vec![FaultRule::new(Fault::LatencyMs(millis))]
}

/// Removes all faults.
pub fn mend(emulator: &Emulator) -> Test {
    emulator.set_faults(Vec::new()).map_err(anyhow::Error::msg)
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

/// An account's profile, or `Null` if there is none.
pub fn profile(emulator: &Emulator, account: u64) -> Value {
    emulator.profile(account).and_then(|profile| serde_json::from_str(&profile).ok()).unwrap_or(Value::Null)
}

/// The accounts of a crawl's frontier, in order.
pub async fn frontier(cluster: &Cluster, crawl: CrawlId) -> anyhow::Result<Vec<u64>> {
    let exported = cluster.twm_ctl(&["frontier", "export", &crawl.to_string(), "--file", "-"]).await?;
    String::from_utf8(exported.stdout)?.lines().map(|line| Ok(line.parse()?)).collect()
}

/// Waits until a node other than the leader holds jobs, and returns its id.
pub async fn a_busy_follower(cluster: &Cluster) -> anyhow::Result<u64> {
    eventually("a follower holds jobs", async || {
        let status = cluster.status().await?;
        let busy = status.sessions.iter().find(|session| session.leased > 0 && session.node != status.leader);
        Ok(busy.map(|session| session.node))
    })
    .await
}

/// Waits until a node has, or does not have, a session.
pub async fn session(cluster: &Cluster, node: u64, open: bool) -> Test {
    let what = format!("node {node} has {} session", if open { "a" } else { "no" });
    eventually(&what, async || {
        let found = cluster.status().await?.sessions.iter().any(|session| session.node == node);
        Ok((found == open).then_some(()))
    })
    .await
}

/// The spec of a crawl of timelines.
pub fn timelines(name: &str) -> CrawlSpec {
    CrawlSpec {
        name: name.to_owned(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: None,
        follow: None,
        priority: 10,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    }
}

/// Submits a crawl of timelines through the client API.
pub async fn submit_by(client: &Client, accounts: &[u64]) -> anyhow::Result<CrawlId> {
    let spec = timelines("by the client");
    let created = client.write(Write::CreateCrawl { request: client.request_id(), spec }).await?;
    let Response::CrawlCreated(crawl) = created else { anyhow::bail!("no crawl was made: {created:?}") };
    let users = accounts.iter().copied().map(UserId::Number).collect();
    client.write(Write::AddTargets { crawl, chunk: 0, users, seeds: false }).await?;
    client.write(Write::SealCrawl { crawl }).await?;
    Ok(crawl)
}
