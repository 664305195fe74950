//! After any failures, the consumers hold the same data as the dataset.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use redis::streams::StreamRangeReply;
use serde_json::Value;
use twm_tests::cluster::{Cluster, FileName, Truth, eventually};
use twm_tests::emulator::{Emulator, Fault, FaultRule, SyntheticOptions};
use twm_tests::redis_server::RedisServer;

use super::lookup_service::Lookup;
use super::statistics::{Statistics, points, text};

/// All entries of a stream, as their fields.
async fn entries(redis: &RedisServer, stream: &str) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
    let mut connection = redis.connection().await?;
    let all: StreamRangeReply =
        redis::cmd("XRANGE").arg(stream).arg("-").arg("+").query_async(&mut connection).await?;
    let fields = |entry: redis::streams::StreamId| {
        entry.map.into_iter().map(|(name, value)| Ok((name, redis::from_redis_value(value)?))).collect()
    };
    all.ids.into_iter().map(fields).collect()
}

/// Crawls while the leader, then a follower, then all nodes are killed.
async fn crawl_among_kills(cluster: &mut Cluster, targets: &[u64]) -> anyhow::Result<String> {
    let crawl = cluster.submit(targets, &["-T", "-F", "-A"]).await?;
    for (deed, done) in [5, 12, 20].into_iter().enumerate() {
        cluster
            .crawl_until(crawl, "some more are done", |crawl| crawl.counters.users.completed >= done)
            .await?;
        match deed {
            0 => {
                let leader = cluster.leader().await?;
                cluster.node(leader)?.kill().await?;
                cluster.restart(leader).await?;
            }
            1 => {
                let follower = cluster.follower().await?;
                cluster.node(follower)?.kill().await?;
                cluster.restart(follower).await?;
            }
            _ => {
                cluster.kill_all().await?;
                cluster.start_all()?;
                cluster.ready().await?;
            }
        }
    }
    let view = cluster.finished(crawl).await?;
    assert_eq!(view.counters.users.completed, targets.len() as u64);
    Ok(crawl.to_string())
}

/// Lines of all files of one kind.
fn lines(
    cluster: &Cluster,
    emulator: &Emulator,
    targets: &[u64],
    name: fn(u64) -> FileName,
) -> anyhow::Result<Vec<String>> {
    let mut all = Vec::new();
    for &target in targets {
        let expected = match name(target) {
            FileName::Timeline(_) => emulator.expected_timeline(target),
            FileName::Followers(_) | FileName::Profiles(_) => emulator.expected_followers(target),
        };
        // An account without items has no file.
        if !expected.is_empty() {
            all.extend(cluster.lines(1, name(target))?);
        }
    }
    Ok(all)
}

fn number(value: &Value) -> anyhow::Result<u64> {
    value.as_u64().with_context(|| format!("no number: {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_lookups_and_streams_end_up_with_the_dataset_though_nodes_are_killed() -> anyhow::Result<()>
{
    let redis = RedisServer::start().await?;
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(80, 7) };
    let slow = vec![FaultRule::new(Fault::LatencyMs(20))];
    let emulator = Emulator::builder().synthetic(population).page_size(5).faults(slow).start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().nodes(3).flags([flag.as_str()]).crawling(&emulator).start().await?;
    let mut statistics = Statistics::start(&redis.url(), None)?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    // Half of the accounts: the others are found as their followers.
    let targets = emulator.users(0, 40);
    let crawl = crawl_among_kills(&mut cluster, &targets).await?;
    cluster.holds(&Truth::of(&emulator).timelines(targets.clone()).followers(targets.clone())).await?;

    let saved = lines(&cluster, &emulator, &targets, FileName::Timeline)?;
    let saved = saved.iter().map(|line| number(&serde_json::from_str::<Value>(line)?["id"]));
    let saved: BTreeSet<u64> = saved.collect::<anyhow::Result<_>>()?;
    let followers = lines(&cluster, &emulator, &targets, FileName::Followers)?;
    let found: BTreeSet<u64> = followers.iter().map(|line| line.parse()).collect::<Result<_, _>>()?;
    let found = found.into_iter().filter(|id| !targets.contains(id));
    let found: BTreeMap<u64, String> = found.filter_map(|id| Some((id, emulator.profile(id)?))).collect();
    assert!(!saved.is_empty() && !found.is_empty());

    eventually("the stream of tweets has those of the dataset", async || {
        let ids = entries(&redis, "twm:tweets").await?.into_iter().map(|entry| Ok(entry["id"].parse()?));
        Ok((ids.collect::<anyhow::Result<BTreeSet<u64>>>()? == saved).then_some(()))
    })
    .await?;
    eventually("the lookup has the profiles of all that were looked up", async || {
        let (_, status) = lookup.get("/lookup/status").await?;
        let status: Value = serde_json::from_str(&status)?;
        Ok((number(&status["profiles"])? == found.len() as u64).then_some(()))
    })
    .await?;
    for (id, profile) in &found {
        let (status, body) = lookup.get(&format!("/lookup/id/{id}")).await?;
        let (told, served): (Value, Value) = (serde_json::from_str(&body)?, serde_json::from_str(profile)?);
        assert_eq!((status, &told), (200, &served));
    }

    let all = targets.len() as f64;
    let expected = [
        ("timeline.total_fetched", saved.len() as f64),
        ("timeline.total_included", saved.len() as f64),
        ("follower.total_fetched", followers.len() as f64),
        ("analyzer.total_fetched", found.len() as f64),
        ("analyzer.total_included", found.len() as f64),
        ("update.total_fetched", 0.0),
        ("stats.worker.completed.timeline", all),
        ("stats.worker.completed.follower", all),
        ("stats.worker.completed.analyzer", all),
        ("stats.worker.completed.update", 0.0),
        ("stats.worker.ongoing.timeline", 0.0),
        ("stats.worker.ongoing.follower", 0.0),
        ("stats.worker.ongoing.analyzer", 0.0),
    ];
    let mut last = Vec::new();
    let told = eventually("the statistics end with the numbers of the dataset", async || {
        let text = text(&statistics.file())?;
        let points = points(&text)?;
        let newest = |label: &str| points.get(label).and_then(|of| of.values().next_back().copied());
        last = expected.iter().map(|(label, _)| (*label, newest(label))).collect();
        Ok(expected.iter().all(|(label, value)| newest(label) == Some(*value)).then_some(()))
    });
    told.await.with_context(|| format!("expected {expected:?}, told {last:?}"))?;

    let events = entries(&redis, "twm:events").await?;
    let of = |kind: &str, user: u64, operation: &str| {
        let user = user.to_string();
        let like = |event: &&BTreeMap<String, String>| {
            let field = |name: &str| event.get(name).map_or("", String::as_str);
            let operation_fits = operation.is_empty() || field("operation") == operation;
            (field("type"), field("crawl"), field("user")) == (kind, crawl.as_str(), user.as_str())
                && operation_fits
        };
        events.iter().filter(like).count()
    };
    for &target in &targets {
        for operation in ["T", "F", "A"] {
            assert_eq!(of("completed", target, operation), 1, "{operation} of {target}");
        }
        assert_eq!(of("ended", target, ""), 1, "{target}");
    }
    statistics.consumer.stop().await?;
    lookup.consumer.stop().await?;
    cluster.finish().await
}
