//! A cluster of real processes crawls many hosts.

use std::time::Duration;

use api::model::{CrawlId, CrawlView};
use storage::dataset::{Account, Dataset, FilesDataset, FilesOptions};
use twm_tests::cluster::{Cluster, Output, eventually};
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions, HostKind};

use super::crawl::id;

fn settings(folder: &std::path::Path, fediverse: &Fediverse) -> anyhow::Result<String> {
    for host in [3, 4] {
        std::fs::write(folder.join(format!("h{host}.token")), Fediverse::token(host))?;
    }
    let file = folder.join("settings.toml");
    let text = format!(
        "[source.fedi]\nkind = \"mastodon\"\ncontact = \"me@example.org\"\ngateway = \"{}\"\n\
         host-gone-after = \"3s\"\n\
         token-files = {{ \"h3.test\" = \"h3.token\", \"h4.test\" = \"h4.token\" }}\n",
        fediverse.url()
    );
    std::fs::write(&file, text)?;
    Ok(format!("--config={}", file.display()))
}

/// Submits a list, as soon as the cluster knows sources.
pub async fn submit(cluster: &Cluster, list: &str, flags: &[&str]) -> anyhow::Result<CrawlId> {
    eventually("the cluster's version has risen", async || match cluster.submit_list(list, flags).await {
        Err(error) if error.to_string().contains("needs cluster version") => Ok(None),
        other => other.map(Some),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_of_many_hosts_are_kept_whole_though_the_leader_dies_and_two_hosts_are_bad()
-> anyhow::Result<()> {
    let options = FediverseOptions::new(7, 12, 7)
        .with(2, HostKind::Old)
        .with(3, HostKind::Token)
        .with(4, HostKind::GoToSocial)
        .with(5, HostKind::Gone)
        .with(6, HostKind::Token);
    let fediverse = Fediverse::start(FediverseOptions { hidden_percent: 10.0, ..options }).await?;
    let folder = tempfile::tempdir()?;
    let config = settings(folder.path(), &fediverse)?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output(Output::Shared);
    let mut cluster = builder.flags([config.as_str(), "--max-attempts=2"]).start().await?;

    let accounts = fediverse.accounts();
    // Half of them by their names, which a node looks up; those of bad hosts by their ids, as an analysis would find them.
    let is_good = |acct: &str| !acct.ends_with("@h5.test") && !acct.ends_with("@h6.test");
    let line = |(at, acct): (usize, &String)| match at % 2 == 0 && is_good(acct) {
        true => format!("@{acct}\n"),
        false => format!("{acct}\n"),
    };
    let list: String = accounts.iter().enumerate().map(line).collect();
    let list = cluster.file("targets", &list)?;
    let crawl = submit(&cluster, &list.to_string_lossy(), &["-T", "-F", "--source=fedi"]).await?;
    cluster
        .crawl_until(crawl, "ten accounts are done", |crawl: &CrawlView| crawl.counters.users.completed >= 10)
        .await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    cluster.restart(leader).await?;
    let users = cluster.finished(crawl).await?.counters.users;
    let good: Vec<&String> = accounts.iter().filter(|acct| is_good(acct)).collect();
    assert_eq!((users.completed as usize, users.failed as usize), (good.len(), accounts.len() - good.len()));

    let dataset = FilesDataset::open(FilesOptions::new(cluster.output(1)))?;
    let (mut posts, mut followers) = (0, 0);
    for acct in good {
        let account = Account { source: "fedi".parse()?, user: id(acct) };
        let lines = dataset.open_timeline(&account)?.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        let ids = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line));
        let ids: Vec<String> = ids
            .map(|post| Ok(post?["id"].as_str().unwrap_or_default().to_owned()))
            .collect::<anyhow::Result<_>>()?;
        assert_eq!(ids, fediverse.expected_timeline(acct), "{acct}");
        posts += ids.len();
        let list = dataset.open_followers(&account)?.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        let list: Vec<String> = list.iter().map(ToString::to_string).collect();
        if !list.is_empty() {
            assert_eq!(list, fediverse.expected_followers(acct), "{acct}");
        }
        followers += list.len();
    }
    assert!(posts > 1_000 && followers > 500, "{posts} posts, {followers} followers");
    let stats = fediverse.stats();
    assert_eq!(stats.over, 0, "no request was over a limit");
    cluster.finish().await
}
