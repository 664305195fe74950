//! Reading the event stream in tests.

use anyhow::ensure;
use api::model::{CrawlCounters, CrawlView, Operations};
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};
pub use twm_tests::event_stream::{Entry, check_order, entries};
use twm_tests::redis_server::RedisServer;

/// Result of a test.
pub type Test = anyhow::Result<()>;

/// A population whose accounts have several pages, and an emulator with this latency.
pub fn accounts(users: u64, millis: u64) -> Builder {
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) };
    let slow = vec![FaultRule::new(Fault::LatencyMs(millis))];
    Emulator::builder().synthetic(population).page_size(5).count_users(true).faults(slow)
}

/// Waits until the stream has the end of the crawl, and returns all entries.
pub async fn told_to_the_end(redis: &RedisServer, crawl: &CrawlView) -> anyhow::Result<Vec<Entry>> {
    let id = crawl.id.to_string();
    eventually("the stream tells the crawl's end", async || {
        let Ok(entries) = entries(redis).await else { return Ok(None) };
        let ended = entries.iter().any(|e| e.text("type") == "finished" && e.text("crawl") == id);
        Ok(ended.then_some(entries))
    })
    .await
}

/// The counts of a crawl in the stream equal the cluster's counters.
pub fn check_counters(entries: &[Entry], crawl: &CrawlView) -> Test {
    let mut told = CrawlCounters::default();
    let id = crawl.id.to_string();
    for entry in entries.iter().filter(|entry| entry.text("crawl") == id) {
        let operations: Operations = entry.text("operation").parse()?;
        let mut unused = Default::default();
        let of = operations.first().map_or(&mut unused, |operation| told.of(operation));
        match entry.text("type") {
            "completed" => {
                of.completed += 1;
                of.items += entry.number("items")?;
            }
            "gone" => of.gone += 1,
            "failed" => of.failed += 1,
            "limited" => of.limited += 1,
            "retried" => of.retried += 1,
            "discovered" => {
                told.discovered += entry.number("admitted")? + entry.number("discarded")?;
                told.admitted += entry.number("admitted")?;
            }
            "targets" => told.users.accepted += entry.number("accepted")?,
            "ended" => match entry.text("state") {
                "completed" => told.users.completed += 1,
                "gone" => told.users.gone += 1,
                _ => told.users.failed += 1,
            },
            _ => {}
        }
    }
    let real = crawl.counters;
    ensure!(told.operations == real.operations, "told {:?}, counted {:?}", told.operations, real.operations);
    ensure!((told.discovered, told.admitted) == (real.discovered, real.admitted), "{told:?} {real:?}");
    let users = |c: CrawlCounters| (c.users.accepted, c.users.completed, c.users.gone, c.users.failed);
    ensure!(users(told) == users(real), "told {:?}, counted {:?}", told.users, real.users);
    Ok(())
}

/// A value from a node's metrics.
pub async fn metric(cluster: &mut Cluster, node: u64, name: &str) -> anyhow::Result<f64> {
    Ok(cluster.node(node)?.page("/metrics").await?.metric(name, ""))
}
