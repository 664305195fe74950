//! Streams of other sources than the default one.

use std::collections::{BTreeMap, BTreeSet};

use redis::streams::StreamRangeReply;
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions};
use twm_tests::redis_server::RedisServer;

use crate::stream::{Test, accounts};

type Fields = BTreeMap<String, String>;

async fn entries(redis: &RedisServer, stream: &str) -> anyhow::Result<Vec<Fields>> {
    let mut connection = redis.connection().await?;
    let all: StreamRangeReply =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut connection).await?;
    let fields = |entry: &redis::streams::StreamId| {
        entry.map.keys().map(|name| (name.clone(), entry.get(name).unwrap_or_default())).collect()
    };
    Ok(all.ids.iter().map(fields).collect())
}

fn names(entries: &[Fields]) -> BTreeSet<Vec<&str>> {
    entries.iter().map(|entry| entry.keys().map(String::as_str).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_has_streams_of_its_own_and_those_of_the_default_one_are_as_they_were() -> Test {
    let redis = RedisServer::start().await?;
    let emulator = accounts(10, 0).start().await?;
    let fediverse = Fediverse::start(FediverseOptions::new(3, 6, 7)).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("sources.toml");
    let text = format!(
        "[source.fedi]\nkind = \"mastodon\"\ncontact = \"me@example.org\"\ngateway = \"{}\"\n",
        fediverse.url()
    );
    std::fs::write(&file, text)?;
    let flags = [format!("--redis={}", redis.url()), format!("--config={}", file.display())];
    let cluster =
        Cluster::builder().flags(flags.iter().map(String::as_str)).crawling(&emulator).start().await?;

    let targets = emulator.users(0, u64::MAX);
    let first = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let known = fediverse.accounts();
    let list = cluster.file("list", &known.iter().map(|acct| format!("{acct}\n")).collect::<String>())?;
    let second = eventually("the cluster's version has risen", async || {
        match cluster.submit_list(&list.to_string_lossy(), &["-T", "-F", "--source=fedi"]).await {
            Err(error) if error.to_string().contains("needs cluster version") => Ok(None),
            other => other.map(Some),
        }
    })
    .await?;
    cluster.finished(first).await?;
    cluster.finished(second).await?;

    let posts: BTreeSet<(String, String)> = known
        .iter()
        .flat_map(|acct| fediverse.expected_timeline(acct).into_iter().map(|id| (acct.clone(), id)))
        .collect();
    let mirrored = eventually("every post is in twm:tweets:fedi", async || {
        let entries = entries(&redis, "twm:tweets:fedi").await?;
        let found: BTreeSet<_> =
            entries.iter().map(|entry| (entry["user"].clone(), entry["id"].clone())).collect();
        Ok((found == posts).then_some(entries))
    })
    .await?;
    assert_eq!(names(&mirrored), BTreeSet::from([vec!["id", "json", "source", "user"]]));
    for entry in &mirrored {
        let post: serde_json::Value = serde_json::from_str(&entry["json"])?;
        assert_eq!((entry["source"].as_str(), &post["id"]), ("fedi", &entry["id"].as_str().into()));
    }
    let followers: BTreeSet<String> =
        known.iter().flat_map(|acct| fediverse.expected_followers(acct)).collect();
    let profiles = eventually("every follower's profile is in twm:profiles:fedi", async || {
        let entries = entries(&redis, "twm:profiles:fedi").await?;
        let found: BTreeSet<String> = entries.iter().map(|entry| entry["id"].clone()).collect();
        Ok(found.is_superset(&followers).then_some(entries))
    })
    .await?;
    assert_eq!(names(&profiles), BTreeSet::from([vec!["id", "json", "source"]]));

    let tweets: BTreeSet<String> = targets
        .iter()
        .flat_map(|account| emulator.expected_timeline(*account))
        .map(|id| id.to_string())
        .collect();
    let mirrored = eventually("every tweet is in twm:tweets", async || {
        let entries = entries(&redis, "twm:tweets").await?;
        Ok((entries.iter().map(|entry| entry["id"].clone()).collect::<BTreeSet<_>>() == tweets)
            .then_some(entries))
    })
    .await?;
    assert_eq!(names(&mirrored), BTreeSet::from([vec!["id", "json", "user"]]));
    let profiles = entries(&redis, "twm:profiles").await?;
    assert!(profiles.is_empty() || names(&profiles) == BTreeSet::from([vec!["id", "json"]]));
    cluster.finish().await
}
