//! `twm:events`: each event exactly once, in order, under any failure.

use api::TrackerApi;
use api::model::{CrawlView, Write};
use storage::dataset::SourceName;
use storage::env::{Entropy, SystemEntropy};
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::redis_server::{RedisSentinel, RedisServer};

use crate::stream::{Test, accounts, check_counters, check_order, entries, metric, told_to_the_end};

fn done(crawl: &CrawlView) -> u64 {
    crawl.counters.users.completed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_there_once_and_in_order_while_nodes_and_redis_are_killed_at_random() -> Test {
    let mut redis = RedisServer::start().await?;
    let emulator = accounts(80, 20).start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().nodes(3).flags([flag.as_str()]).crawling(&emulator).start().await?;
    let targets = emulator.users(0, u64::MAX);
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let dice = SystemEntropy::new();
    let mut deeds = Vec::new();
    for step in (8..=72).step_by(8) {
        let enough = |crawl: &CrawlView| done(crawl) >= step || crawl.phase.is_over();
        cluster.crawl_until(crawl, "some more accounts are done", enough).await?;
        match dice.next_u64() % 4 {
            0 => {
                let leader = cluster.leader().await?;
                cluster.node(leader)?.kill().await?;
                cluster.restart(leader).await?;
                deeds.push("leader killed");
            }
            1 => {
                cluster.kill_all().await?;
                cluster.start_all()?;
                cluster.ready().await?;
                deeds.push("all nodes killed");
            }
            2 => {
                redis.kill().await?;
                redis.restart().await?;
                deeds.push("redis killed");
            }
            _ => {
                redis.kill().await?;
                let leader = cluster.leader().await?;
                cluster.node(leader)?.kill().await?;
                redis.restart().await?;
                cluster.restart(leader).await?;
                deeds.push("both killed");
            }
        }
    }
    let view = cluster.finished(crawl).await?;
    let entries = told_to_the_end(&redis, &view).await?;
    check_order(&entries)
        .and_then(|()| check_counters(&entries, &view))
        .map_err(|e| e.context(deeds.join(", ")))?;
    let leaders = entries.iter().filter(|entry| entry.text("type") == "leader").count();
    assert!(leaders >= 1, "the leader is reported");
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_a_failover_of_redis_lost_are_sent_again() -> Test {
    let mut master = RedisServer::start().await?;
    let replica = master.replica().await?;
    let sentinel = RedisSentinel::watching(&master, "twm").await?;
    eventually("the sentinel knows the replica", async || {
        Ok((sentinel.replicas("twm").await? == 1).then_some(()))
    })
    .await?;
    let emulator = accounts(40, 0).start().await?;
    let flag = format!("--redis=redis+sentinel://127.0.0.1:{}/twm", sentinel.port());
    let builder = Cluster::builder().nodes(3).flags([flag.as_str()]).crawling(&emulator);
    let cluster = builder.start().await?;
    let targets = emulator.users(0, u64::MAX);
    let first = cluster.submit(&targets, &["-T"]).await?;
    let first = cluster.finished(first).await?;
    let before = told_to_the_end(&replica, &first).await?.len();
    // From here on the replica lags: it receives nothing, and entries that the master acknowledges now are lost with
    // the master.
    let mut connection = replica.connection().await?;
    let _: () = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).query_async(&mut connection).await?;
    let second = cluster.submit(&targets, &["-F"]).await?;
    let second = cluster.finished(second).await?;
    let all = told_to_the_end(&master, &second).await?.len();
    let lost = all - entries(&replica).await?.len();
    assert!(lost > 0, "the replica has all {all} entries, {before} of them from before it was cut off");
    master.kill().await?;
    let _: () = redis::cmd("REPLICAOF").arg("NO").arg("ONE").query_async(&mut connection).await?;
    let again = told_to_the_end(&replica, &second).await?;
    check_order(&again)?;
    check_counters(&again, &first)?;
    check_counters(&again, &second)?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_no_longer_fit_are_counted_and_a_gap_stands_for_them() -> Test {
    let mut redis = RedisServer::start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().flags([flag.as_str(), "--redis-outbox=1"]).start().await?;
    eventually("the stream has begun", async || {
        entries(&redis).await?.last().map(|entry| entry.number("number")).transpose()
    })
    .await?;
    redis.kill().await?;
    // Several thousand events of at least 256 bytes.
    let client = cluster.client();
    let spec = |n: u64| api::model::CrawlSpec {
        name: format!("{n:0>250}"),
        operations: api::model::Operations::only(api::model::Operation::Timeline),
        traversal: api::model::Traversal::Default,
        depth: None,
        follow: None,
        priority: 1,
        fingerprint: None,
        source: SourceName::default(),
        spend_limit: None,
    };
    for hundred in 0..60 {
        let crawls = (0..100).map(|n| {
            let request = client.request_id();
            client.write(Write::CreateCrawl { request, spec: spec(hundred * 100 + n) })
        });
        futures::future::try_join_all(crawls).await?;
    }
    let dropped = metric(&mut cluster, 1, "twm_events_dropped_total").await?;
    assert!(dropped > 0.0, "the outbox is full");
    redis.restart().await?;
    let entries = eventually("the newest event is there", async || {
        let entries = entries(&redis).await?;
        let newest = entries.iter().any(|entry| entry.text("name") == format!("{:0>250}", 5_999));
        Ok(newest.then_some(entries))
    })
    .await?;
    let gaps: Vec<_> = entries.iter().enumerate().filter(|(_, entry)| entry.text("type") == "gap").collect();
    let [(at, gap)] = gaps[..] else { panic!("{} gaps", gaps.len()) };
    assert_eq!(gap.text("after"), entries[at - 1].id.to_string());
    let before = entries[at - 1].number("number")?;
    let missing = gap.number("number")? - before;
    // Entries that Redis had received and the cluster had not yet recorded count as dropped as well.
    assert!(
        (missing..=missing + before).contains(&(dropped as u64)),
        "{missing} are missing, {dropped} dropped"
    );
    assert_eq!(
        entries[at + 1].number("number")?,
        gap.number("number")? + 1,
        "and the stream continues right behind it"
    );
    assert!(entries.is_sorted_by(|a, b| a.id < b.id));
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_gone_or_silent_holds_nothing_up_and_gets_everything_later() -> Test {
    let mut redis = RedisServer::start().await?;
    let emulator = accounts(30, 0).start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().nodes(3).flags([flag.as_str()]).crawling(&emulator).start().await?;
    redis.kill().await?;
    let targets = emulator.users(0, u64::MAX);
    let first = cluster.submit(&targets, &["-T"]).await?;
    cluster.finished(first).await?;
    let leader = cluster.leader().await?;
    eventually("the metrics tell the trouble", async || {
        Ok((metric(&mut cluster, leader, "twm_mirror_trouble").await? == 1.0).then_some(()))
    })
    .await?;
    redis.restart().await?;
    redis.process().freeze()?;
    let second = cluster.submit(&targets, &["-F"]).await?;
    let view = cluster.finished(second).await?;
    redis.process().thaw()?;
    let entries = told_to_the_end(&redis, &view).await?;
    check_order(&entries)?;
    check_counters(&entries, &view)?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_that_of_the_node_that_leads_and_leaves_with_the_lead() -> Test {
    let mut redis = RedisServer::start().await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().nodes(3).flags([flag.as_str()]).start().await?;
    redis.kill().await?;
    let old = cluster.leader().await?;
    let trouble_is = async |cluster: &mut Cluster, node, value: f64| {
        eventually(&format!("the trouble of node {node} is {value}"), async || {
            Ok((metric(cluster, node, "twm_mirror_trouble").await? == value).then_some(()))
        })
        .await
    };
    trouble_is(&mut cluster, old, 1.0).await?;
    let new = cluster.follower().await?;
    let moved = cluster.twm_ctl(&["leader", "transfer", "--to", &new.to_string()]).await?;
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    trouble_is(&mut cluster, old, 0.0).await?;
    trouble_is(&mut cluster, new, 1.0).await?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_of_another_cluster_is_left_alone_until_it_is_deleted() -> Test {
    let redis = RedisServer::start().await?;
    let mut connection = redis.connection().await?;
    let foreign = "999999999-1";
    let _: String = redis::cmd("XADD")
        .arg("twm:events")
        .arg(foreign)
        .arg("type")
        .arg("x")
        .query_async(&mut connection)
        .await?;
    let flag = format!("--redis={}", redis.url());
    let mut cluster = Cluster::builder().flags([flag.as_str()]).start().await?;
    eventually("the node says what is wrong", async || {
        let log = cluster.node(1)?.log()?;
        Ok(log.lines().any(|line| line.contains(foreign) && line.contains("delete it")).then_some(()))
    })
    .await?;
    assert_eq!(entries(&redis).await?.len(), 1, "nothing was appended");
    let _: () = redis::cmd("DEL").arg("twm:events").query_async(&mut connection).await?;
    let entries = eventually("the stream begins", async || {
        let entries = entries(&redis).await?;
        Ok(entries.iter().any(|entry| entry.text("type") == "session-opened").then_some(entries))
    })
    .await?;
    check_order(&entries)?;
    cluster.finish().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_trimmed_to_its_setting() -> Test {
    let redis = RedisServer::start().await?;
    let emulator = accounts(300, 0).start().await?;
    let flag = format!("--redis={}", redis.url());
    let builder = Cluster::builder().workers(16).flags([flag.as_str(), "--redis-events=1000"]);
    let cluster = builder.crawling(&emulator).start().await?;
    let crawl = cluster.submit(&emulator.users(0, u64::MAX), &["-T", "-F"]).await?;
    let view = cluster.finished(crawl).await?;
    let entries = told_to_the_end(&redis, &view).await?;
    assert!(entries[0].number("number")? > 1, "the oldest entries left");
    // Redis trims whole nodes of a hundred entries.
    assert!((1000..1200).contains(&entries.len()), "{} entries", entries.len());
    cluster.finish().await
}
