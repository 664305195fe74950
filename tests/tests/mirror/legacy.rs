//! The keys that consumers of the original read: counters, and the lists `stream`, `error_stream` and
//! `logger`.

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use twm_tests::cluster::{Cluster, eventually};
use twm_tests::emulator::{Fault, FaultRule};
use twm_tests::redis_server::RedisServer;

use crate::stream::{Test, accounts};

async fn counter(redis: &mut MultiplexedConnection, name: &str) -> anyhow::Result<u64> {
    Ok(redis.get::<_, Option<u64>>(name).await?.unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_and_lists_of_the_original_show_what_the_cluster_does() -> Test {
    let server = RedisServer::start().await?;
    let mut redis = server.connection().await?;
    let emulator = accounts(30, 0).start().await?;
    let flag = format!("--redis={}", server.url());
    let builder = Cluster::builder().nodes(3).flags([flag.as_str(), "--max-attempts=1"]);
    let cluster = builder.crawling(&emulator).start().await?;
    let targets = emulator.users(0, u64::MAX);

    // The queue of a crawl that does not run appears in `stream`, in order.
    for node in 1..=3 {
        cluster.twm_ctl(&["node", "drain", &node.to_string()]).await?;
    }
    let crawl = cluster.submit(&targets, &["-T", "-F", "-A"]).await?;
    let waiting: Vec<String> = targets.iter().map(|id| format!("T,{id},0")).collect();
    eventually("the queue is in `stream`", async || {
        let stream: Vec<String> = redis.lrange("stream", 0, -1).await?;
        Ok((stream == waiting).then_some(()))
    })
    .await?;
    let broken = targets[3];
    emulator.set_faults(vec![FaultRule::new(Fault::Status(500)).user(broken)]).map_err(anyhow::Error::msg)?;
    for node in 1..=3 {
        cluster.twm_ctl(&["node", "undrain", &node.to_string()]).await?;
    }
    let view = cluster.finished(crawl).await?;
    let [timeline, _, followers, analysis] = view.counters.operations;
    eventually("the counters are the cluster's", async || {
        let expected = [
            ("timeline.total_fetched", timeline.items),
            ("timeline.total_included", timeline.items),
            ("follower.total_fetched", followers.items),
            ("analyzer.total_fetched", view.counters.discovered),
            ("analyzer.total_included", view.counters.admitted),
            ("update.total_fetched", 0),
            ("stats.worker.completed.timeline", timeline.completed),
            ("stats.worker.completed.follower", followers.completed),
            ("stats.worker.completed.analyzer", analysis.completed),
            ("stats.worker.ongoing.timeline", 0),
            ("stats.worker.ongoing.analyzer", 0),
        ];
        for (name, value) in expected {
            if counter(&mut redis, name).await? != value {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    eventually("the failed account is in `error_stream`", async || {
        let errors: Vec<String> = redis.lrange("error_stream", 0, -1).await?;
        Ok(errors.contains(&format!("T,{broken},0")).then_some(()))
    })
    .await?;
    let stream: Vec<String> = redis.lrange("stream", 0, -1).await?;
    assert!(stream.is_empty(), "{stream:?}");
    let lines: Vec<String> = redis.lrange("logger", 0, -1).await?;
    assert!(lines.iter().any(|line| line.ends_with(&format!("[crawl {crawl}] finished"))), "{lines:?}");
    assert!(lines.iter().all(|line| line.as_bytes()[2] == b':' && line.contains(" [")), "{lines:?}");

    // An error that is retried successfully is removed from the list.
    emulator.set_faults(Vec::new()).map_err(anyhow::Error::msg)?;
    cluster.twm_ctl(&["errors", "retry", &crawl.to_string()]).await?;
    cluster.finished(crawl).await?;
    eventually("`error_stream` is empty", async || {
        let errors: Vec<String> = redis.lrange("error_stream", 0, -1).await?;
        Ok(errors.is_empty().then_some(()))
    })
    .await?;
    cluster.finish().await
}
