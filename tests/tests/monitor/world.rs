//! Emulators and helpers of the monitor tests.

use api::TrackerApi;
use api::client::Client;
use api::model::{CrawlId, Finding, OpenSession, Operation, Report, SessionId, StorageId, Wants};
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};

/// Result of a test.
pub type Test = anyhow::Result<()>;

/// The token of the test clusters.
pub const TOKEN: &str = "correct-horse-battery";

/// A harmful account, error or name from outside.
pub const EVIL: &str = "<img src=x onerror=\"complaints.push(1)\"><script>complaints.push(2)</script>";

/// An emulator of this many accounts with few tweets each, whose answers are slow.
pub fn slow_accounts(users: u64) -> Builder {
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) };
    Emulator::builder().synthetic(population).page_size(5).faults(vec![FaultRule::new(Fault::LatencyMs(100))])
}

/// All accounts of a population.
pub fn everyone(emulator: &Emulator) -> Vec<u64> {
    emulator.users(0, u64::MAX)
}

/// Makes one account of a crawl fail for a reason that no correct worker reports: a session of the test takes the
/// job.
pub async fn fail_one(client: &Client, crawl: CrawlId, reason: &str) -> anyhow::Result<u64> {
    let open = OpenSession {
        node: 99,
        incarnation: 1,
        storage: StorageId(99),
        workers: 1,
        shared: false,
        adopt: false,
    };
    let session: SessionId = client.open_session(open).await?.session;
    let mut sequence = 0;
    let mut report = async |findings: Vec<_>, wants| {
        sequence += 1;
        client.report(99, Report { session, sequence, findings, wants }, Vec::new()).await
    };
    let one = Wants { total: 1, each: Operation::ALL.map(|_| 1) };
    let job = eventually("a job is granted", async || {
        let answer = report(Vec::new(), one).await?;
        Ok(answer.granted.into_iter().find(|job| job.crawl == crawl))
    })
    .await?;
    let failed = Finding::Failed { progress: None, reason: reason.to_owned(), after_ms: 0, retry: false };
    report(vec![(job.id, job.lease, failed)], Wants::NONE).await?;
    client.end_session(99, session).await?;
    Ok(job.user.to_string().parse()?)
}

/// The address of a node's monitor.
pub fn url(cluster: &Cluster, node: u64) -> anyhow::Result<String> {
    let host = cluster.address(node)?.rsplit_once(':').map(|(host, _)| host.to_owned());
    Ok(format!("http://{}:9898/", host.unwrap_or_default()))
}
