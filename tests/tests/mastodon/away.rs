//! A cluster of real processes crawls many hosts, of which some are away.

use std::collections::BTreeMap;
use std::time::Duration;

use api::model::CrawlView;
use twm_tests::cluster::{Cluster, Output, eventually};
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions, HostKind};

use super::cluster::submit;
use super::crawl::host_of;

/// Accounts of each host.
const EACH: u64 = 8;
/// Longer than it takes to see that a host is away, and to bring it back.
const GONE_AFTER: &str = "20s";

/// A port on which nobody listens.
fn closed_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

async fn waits_for(cluster: &mut Cluster, crawl: &str, host: &str) -> anyhow::Result<()> {
    eventually(&format!("the monitor says that accounts wait for {host}"), async || {
        let page = cluster.node(cluster.leader().await?)?.page(&format!("/api/v1/crawls/{crawl}")).await?;
        let said = page.body.contains(&format!("accounts wait for {host}, which has been away for"));
        Ok(said.then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_are_away_slow_down_their_own_accounts_alone_and_the_crawl_ends() -> anyhow::Result<()> {
    let options = FediverseOptions::new(7, EACH, 11)
        .with(3, HostKind::Hang)
        .with(4, HostKind::Hang)
        .with(6, HostKind::Gone);
    let fediverse = Fediverse::start(options).await?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("settings.toml");
    let text = format!(
        "[source.fedi]\nkind = \"mastodon\"\ncontact = \"me@example.org\"\ngateway = \"{}\"\n\
         host-gone-after = \"{GONE_AFTER}\"\napi-urls = {{ \"h5.test\" = \"http://127.0.0.1:{}\" }}\n",
        fediverse.url(),
        closed_port()?
    );
    std::fs::write(&config, text)?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output(Output::Shared);
    let config = format!("--config={}", config.display());
    let mut cluster = builder.flags([config.as_str(), "--workers=8"]).start().await?;

    let accounts = fediverse.accounts();
    let list: String = accounts.iter().map(|acct| format!("{acct}\n")).collect();
    let list = cluster.file("targets", &list)?;
    let id = submit(&cluster, &list.to_string_lossy(), &["-T", "-F", "--source=fedi"]).await?;
    let crawl = id.to_string();
    let others = |view: &CrawlView| view.counters.users.completed == 3 * EACH;
    let view = cluster.crawl_until(id, "all accounts of hosts that answer are done", others).await?;
    assert_eq!(view.counters.users.failed, 0, "the others wait: {view:?}");

    // Whoever leads knows which hosts are waited for.
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    cluster.restart(leader).await?;
    waits_for(&mut cluster, &crawl, "h4.test").await?;
    fediverse.change(4, HostKind::Open);
    let back = |view: &CrawlView| view.counters.users.completed == 4 * EACH;
    cluster.crawl_until(id, "the accounts of a host that came back are done", back).await?;

    let users = cluster.finished(id).await?.counters.users;
    assert_eq!((users.completed, users.failed), (4 * EACH, 3 * EACH));
    let mut failed: BTreeMap<String, u64> = BTreeMap::new();
    for error in cluster.ctl_json(&["errors", "list", &crawl]).await? {
        let host = host_of(error["user"].as_str().unwrap_or_default()).to_owned();
        let why = error["why"].as_array().cloned().unwrap_or_default();
        assert_eq!(why.len(), 2, "both operations: {error}");
        let reason = why[0]["reason"].as_str().unwrap_or_default().to_owned();
        let words = format!("host {host} has been away for");
        assert!(reason.contains(&words) && reason.contains("is given up"), "{reason}");
        *failed.entry(host).or_default() += 1;
    }
    assert_eq!(failed, ["h3.test", "h5.test", "h6.test"].map(|host| (host.to_owned(), EACH)).into());

    fediverse.change(3, HostKind::Open);
    assert_eq!(cluster.ctl_json(&["errors", "retry", &crawl]).await?[0]["retried"], 3 * EACH);
    let users = cluster.finished(id).await?.counters.users;
    assert_eq!((users.completed, users.failed), (5 * EACH, 2 * EACH), "a host that is back is asked again");
    cluster.finish().await
}
