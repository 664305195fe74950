//! `twm:tweets`, `twm:profiles` and the original's channels: everything found is published at least once.

use std::collections::BTreeSet;
use std::fs;

use futures::StreamExt;
use redis::streams::StreamRangeReply;
use twm_tests::cluster::{Cluster, FileName, eventually};
use twm_tests::emulator::Emulator;
use twm_tests::redis_server::RedisServer;

use crate::stream::{Test, accounts};

/// The ids in a stream.
async fn ids(redis: &RedisServer, stream: &str) -> anyhow::Result<BTreeSet<u64>> {
    let mut connection = redis.connection().await?;
    let all: StreamRangeReply =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut connection).await?;
    let id = |entry: &redis::streams::StreamId| {
        let id: String = entry.get("id").unwrap_or_default();
        let json: String = entry.get("json").unwrap_or_default();
        let object: serde_json::Value = serde_json::from_str(&json)?;
        let id: u64 = id.parse()?;
        anyhow::ensure!(object["id"] == id, "{id} is not the id of {json}");
        Ok(id)
    };
    all.ids.iter().map(id).collect()
}

fn tweets(emulator: &Emulator, accounts: &[u64]) -> BTreeSet<u64> {
    accounts.iter().flat_map(|account| emulator.expected_timeline(*account)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tweet_and_profile_gets_there_though_nodes_and_redis_are_killed() -> Test {
    let mut redis = RedisServer::start().await?;
    let emulator = accounts(60, 20).start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().nodes(3).flags([flag.as_str()]).crawling(&emulator).start().await?;
    let targets = emulator.users(0, u64::MAX);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    for (deed, done) in [10, 20, 30, 40].into_iter().enumerate() {
        cluster
            .crawl_until(crawl, "some more are done", |crawl| crawl.counters.users.completed >= done)
            .await?;
        match deed {
            0 => redis.kill().await?,
            1 => {
                cluster.kill_all().await?;
                cluster.start_all()?;
                cluster.ready().await?;
            }
            2 => redis.restart().await?,
            _ => {
                let leader = cluster.leader().await?;
                cluster.node(leader)?.kill().await?;
                cluster.restart(leader).await?;
            }
        }
    }
    cluster.finished(crawl).await?;
    let expected = tweets(&emulator, &targets);
    eventually("every tweet is in twm:tweets", async || {
        Ok((ids(&redis, "twm:tweets").await? == expected).then_some(()))
    })
    .await?;
    let followers: BTreeSet<u64> =
        targets.iter().flat_map(|account| emulator.expected_followers(*account)).collect();
    let known = followers.iter().filter(|id| !targets.contains(id) && emulator.profile(**id).is_some());
    let known: BTreeSet<u64> = known.copied().collect();
    eventually("every profile is in twm:profiles", async || {
        Ok(ids(&redis, "twm:profiles").await?.is_superset(&known).then_some(()))
    })
    .await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_brings_its_new_tweets_only() -> Test {
    let redis = RedisServer::start().await?;
    let emulator = accounts(10, 0).start().await?;
    let flag = format!("--redis={}", redis.url());
    let cluster = Cluster::builder().flags([flag.as_str()]).crawling(&emulator).start().await?;
    let targets = emulator.users(0, u64::MAX);
    let first = cluster.submit(&targets, &["-T"]).await?;
    cluster.finished(first).await?;
    let before = tweets(&emulator, &targets);
    eventually("every tweet is there", async || {
        Ok((ids(&redis, "twm:tweets").await? == before).then_some(()))
    })
    .await?;
    let mut connection = redis.connection().await?;
    let _: () = redis::cmd("DEL").arg("twm:tweets").query_async(&mut connection).await?;
    // The newest tweets are removed from the file, as if written after the crawl.
    let account = *targets.iter().max_by_key(|id| emulator.expected_timeline(**id).len()).unwrap_or(&0);
    let name = FileName::Timeline(account);
    let lines = cluster.lines(1, name)?;
    fs::write(cluster.output(1).join(name.path()), format!("{}\n", lines[3..].join("\n")))?;
    let second = cluster.submit(&targets, &["-U"]).await?;
    cluster.finished(second).await?;
    let new: BTreeSet<u64> = emulator.expected_timeline(account).into_iter().take(3).collect();
    eventually("the new tweets are there", async || {
        Ok((ids(&redis, "twm:tweets").await? == new).then_some(()))
    })
    .await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_of_the_original_hear_tweets_profiles_and_the_pulse() -> Test {
    let redis = RedisServer::start().await?;
    let client = redis::Client::open(redis.url())?;
    let mut heard = client.get_async_pubsub().await?;
    heard.subscribe("events.timeline.new_tweet").await?;
    heard.subscribe("extra.lookupinfos").await?;
    heard.psubscribe("stats.ops.*").await?;
    let emulator = accounts(10, 0).start().await?;
    let flag = format!("--redis={}", redis.url());
    let cluster = Cluster::builder().flags([flag.as_str()]).crawling(&emulator).start().await?;
    let targets = emulator.users(0, 5);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    cluster.finished(crawl).await?;
    let mut missing: BTreeSet<u64> = tweets(&emulator, &targets);
    let (mut profiles, mut pulses) = (0, BTreeSet::new());
    let mut messages = heard.on_message();
    let listening = async {
        while !missing.is_empty() || profiles == 0 || pulses.len() < 3 {
            let Some(message) = messages.next().await else { anyhow::bail!("the connection ended") };
            let payload: serde_json::Value = serde_json::from_str(&message.get_payload::<String>()?)?;
            match message.get_channel_name() {
                "events.timeline.new_tweet" => {
                    let id = payload["id"].as_u64().unwrap_or_default();
                    missing.remove(&id);
                }
                "extra.lookupinfos" => profiles += 1,
                pulse => {
                    assert!(
                        payload[0].as_u64() > Some(0) && payload[1].as_u64() > Some(1_700_000_000),
                        "{payload}"
                    );
                    pulses.insert(pulse.to_owned());
                }
            }
        }
        Ok(())
    };
    tokio::time::timeout(twm_tests::cluster::DEADLINE, listening).await??;
    let expected = ["analyzer", "follower", "timeline"].map(|name| format!("stats.ops.{name}.node-1"));
    assert_eq!(pulses.into_iter().collect::<Vec<_>>(), expected);
    cluster.finish().await
}
