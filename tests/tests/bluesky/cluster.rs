//! A cluster of real processes crawls the network in a box.

use std::collections::BTreeSet;
use std::time::Duration;

use api::model::{CrawlId, CrawlView};
use storage::dataset::{Account as DatasetAccount, Dataset, FilesDataset, FilesOptions};
use twm_tests::bluesky_server::{Account, BlueskyServer, BlueskySettings};
use twm_tests::cluster::{Cluster, Output, eventually};

use super::world::user;

/// Accounts, each with as many posts.
const ACCOUNTS: usize = 12;
const POSTS: usize = 30;

fn settings(server: &BlueskyServer) -> anyhow::Result<String> {
    let file = server.folder().join("settings.toml");
    let text = format!(
        "[source.bluesky]\nkind = \"bluesky\"\ncontact = \"me@example.org\"\nappview = \"{}\"\nplc = \"{}\"\nprivate-hosts = true\n",
        server.appview_url(),
        server.plc_url()
    );
    std::fs::write(&file, text)?;
    Ok(format!("--config={}", file.display()))
}

/// Submits a list, as soon as the cluster knows sources.
async fn submit(cluster: &Cluster, list: &str) -> anyhow::Result<CrawlId> {
    let list = cluster.file("targets", list)?;
    let flags = ["-T", "-F", "-A", "--source=bluesky"];
    eventually("the cluster's version has risen", async || {
        match cluster.submit_list(&list.to_string_lossy(), &flags).await {
            Err(error) if error.to_string().contains("needs cluster version") => Ok(None),
            other => other.map(Some),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_kept_whole_though_the_leader_and_the_pds_are_killed() -> anyhow::Result<()> {
    let mut server =
        BlueskyServer::start(BlueskySettings { appview: true, ..BlueskySettings::default() }).await?;
    let (mut accounts, mut posts): (Vec<Account>, Vec<BTreeSet<String>>) = (Vec::new(), Vec::new());
    for number in 0..ACCOUNTS {
        let account = server.account(&format!("user{number:02}")).await?;
        posts.push(account.post(POSTS).await?.into_iter().collect());
        accounts.push(account);
    }
    let celebrity = &accounts[0];
    for fan in &accounts[1..] {
        fan.follow(&[celebrity]).await?;
    }
    let counted = format!("\"followersCount\":{}", ACCOUNTS - 1);
    let query = format!("app.bsky.actor.getProfile?actor={}", celebrity.did);
    server.until_appview(&query, |page| page.body.contains(&counted)).await?;

    let config = settings(&server)?;
    let builder = Cluster::builder().nodes(3).session_ttl(Duration::from_secs(2)).output(Output::Shared);
    let mut cluster = builder.flags([config.as_str()]).start().await?;
    // Half of them by their names.
    let line = |(number, account): (usize, &Account)| match number % 2 {
        0 => format!("{}\n", account.did),
        _ => format!("@user{number:02}.test\n"),
    };
    let list: String = accounts.iter().enumerate().map(line).collect();
    let crawl = submit(&cluster, &list).await?;
    let begun = |crawl: &CrawlView| crawl.counters.users.completed >= 2;
    cluster.crawl_until(crawl, "two accounts are done", begun).await?;
    server.kill_pds().await?;
    let leader = cluster.leader().await?;
    cluster.node(leader)?.kill().await?;
    cluster.restart(leader).await?;
    server.restart_pds().await?;
    let users = cluster.finished(crawl).await?.counters.users;
    assert_eq!((users.completed as usize, users.failed), (ACCOUNTS, 0));

    let dataset = FilesDataset::open(FilesOptions::new(cluster.output(1)))?;
    for (account, expected) in accounts.iter().zip(&posts) {
        let account = DatasetAccount { source: "bluesky".parse()?, user: user(&account.did) };
        let lines = dataset.open_timeline(&account)?.into_iter().flatten().collect::<Result<Vec<_>, _>>()?;
        assert_eq!(lines.len(), expected.len(), "each post once");
        let uri = |line: &String| {
            Ok(serde_json::from_str::<serde_json::Value>(line)?["uri"]
                .as_str()
                .unwrap_or_default()
                .to_owned())
        };
        let uris: BTreeSet<String> = lines.iter().map(uri).collect::<anyhow::Result<_>>()?;
        assert_eq!(uris, *expected);
    }
    let followed = DatasetAccount { source: "bluesky".parse()?, user: user(&accounts[0].did) };
    let fans =
        dataset.open_followers(&followed)?.into_iter().flatten().collect::<Result<BTreeSet<_>, _>>()?;
    assert_eq!(fans, accounts[1..].iter().map(|fan| user(&fan.did)).collect());
    let output = cluster.output(1).display().to_string();
    let verified = cluster.twm_ctl(&["dataset", "verify", &output]).await?;
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    cluster.finish().await
}
