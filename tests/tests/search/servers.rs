//! Real OpenSearch and Elasticsearch.

use anyhow::Context;
use serde_json::{Value, json};
use twm_tests::cluster::{Program, ended, eventually};
use twm_tests::redis_server::RedisServer;
use twm_tests::search_server::{Product, SearchServer};

use super::indexer::{Indexer, publish, tweet, tweets};

#[tokio::test]
async fn tweets_are_indexed_once_into_opensearch_whoever_dies() -> anyhow::Result<()> {
    indexed_once(Product::OpenSearch).await
}

#[tokio::test]
async fn tweets_are_indexed_once_into_elasticsearch_whoever_dies() -> anyhow::Result<()> {
    indexed_once(Product::Elasticsearch).await
}

#[tokio::test]
async fn a_busy_opensearch_gets_all_tweets_in_the_end() -> anyhow::Result<()> {
    busy(Product::OpenSearch).await
}

#[tokio::test]
async fn a_busy_elasticsearch_gets_all_tweets_in_the_end() -> anyhow::Result<()> {
    busy(Product::Elasticsearch).await
}

/// Searches the server directly.
async fn search(server: &SearchServer, body: Value) -> anyhow::Result<Value> {
    let (status, answer) = server.ask("POST", "/twm-tweets/_search", &body.to_string()).await?;
    anyhow::ensure!(status == 200, "{status} {answer}");
    Ok(answer)
}

async fn indexed_once(product: Product) -> anyhow::Result<()> {
    let mut server = SearchServer::start(product, &[]).await?;
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let mut indexer = Indexer::into_server(&redis.url(), &server.url()).await?;
    publish(&mut mirror, &tweets(0..2_000)).await?;
    eventually("some are indexed", async || {
        Ok(indexer.status().await?["stream"]["entries"].as_u64().filter(|entries| *entries > 0))
    })
    .await?;
    indexer.consumer.kill().await?;
    publish(&mut mirror, &tweets(1_900..3_000)).await?;
    indexer.restart().await?;
    indexer.has(3_100, 3_000).await?;

    // The server is killed; nothing more is read until it is back.
    server.kill().await?;
    let bad = tweet(9_000, "long name").replace("User_0", &"x".repeat(40_000));
    publish(&mut mirror, &[tweets(3_000..3_200), vec![(9_000, bad)], tweets(3_200..3_500)].concat()).await?;
    indexer.consumer.says("waits: no answer").await?;
    let trouble = indexer.status().await?["trouble"].to_string();
    assert!(trouble.contains("no answer"), "{trouble}");
    server.restart().await?;
    indexer.has(3_601, 3_500).await?;

    // A tweet that the server rejects is reported, and all others are indexed.
    assert_eq!(indexer.status().await?["dead"], 1);
    let dead = indexer.dead()?;
    assert_eq!((dead.len(), &dead[0]["id"]), (1, &json!("9000")));
    assert!(dead[0]["reason"].as_str().unwrap_or_default().contains("immense term"), "{}", dead[0]);
    for (query, total) in [
        (json!({ "match_all": {} }), 3_500),
        (json!({ "match": { "text": "number1234" } }), 1),
        (json!({ "term": { "hashtags": "even" } }), 1_750),
        (
            json!({ "range": { "created_at": { "gte": "2013-01-01T00:00:10Z", "lt": "2013-01-01T00:00:20Z" } } }),
            10,
        ),
    ] {
        let found = search(&server, json!({ "query": query, "track_total_hits": true })).await?;
        assert_eq!(found["hits"]["total"]["value"], total, "{query}");
    }
    let found = search(&server, json!({ "query": { "term": { "id": "17" } } })).await?;
    assert_eq!(found["hits"]["hits"][0]["_id"], "17");
    refusals(&server, &redis, &mut indexer).await?;
    indexer.consumer.stop().await
}

/// An index with a foreign mapping is left unchanged unless `--recreate` is set.
async fn refusals(server: &SearchServer, redis: &RedisServer, indexer: &mut Indexer) -> anyhow::Result<()> {
    let mapping = json!({ "mappings": { "properties": { "text": { "type": "keyword" } } } });
    server.ask("PUT", "/theirs", &mapping.to_string()).await?;
    let (redis, url) = (redis.url(), server.url().replace("http://", "http://someone:s3cret@"));
    let arguments = ["--redis", &redis, "--server", &url, "--listen", "127.0.0.1:0", "--index", "theirs"];
    let refused = ended(Program::Indexer.command()?.args(arguments)).await?;
    let text = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("theirs") && text.contains("another mapping") && text.contains("--recreate"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
    let (_, there) = server.ask("GET", "/theirs/_mapping", "").await?;
    assert_eq!(there["theirs"]["mappings"]["properties"]["text"]["type"], "keyword");
    let folder = tempfile::TempDir::new()?;
    let recreate = arguments.iter().copied().chain(["--recreate"]);
    let mut fresh = twm_tests::consumer::Consumer::start(Program::Indexer, folder.path(), recreate)?;
    let all = eventually("the stream is indexed from its beginning", async || {
        let (status, count) = server.ask("GET", "/theirs/_count", "").await?;
        Ok((status == 200 && count["count"] == 3_500).then_some(()))
    });
    all.await.with_context(|| fresh.log())?;
    fresh.stop().await?;

    // An index that was deleted externally is created again and filled from the start.
    indexer.consumer.stop().await?;
    server.ask("DELETE", "/twm-tweets", "").await?;
    indexer.restart().await?;
    indexer.has(3_601, 3_500).await
}

async fn busy(product: Product) -> anyhow::Result<()> {
    // The first limit rejects whole bulks, the others single tweets: a bulk is split into one task per shard.
    let settings =
        ["indexing_pressure.memory.limit=30kb", "thread_pool.write.size=1", "thread_pool.write.queue_size=1"];
    let server = SearchServer::start(product, &settings).await?;
    let template =
        json!({ "index_patterns": ["twm-tweets"], "template": { "settings": { "number_of_shards": 4 } } });
    let (status, answer) = server.ask("PUT", "/_index_template/shards", &template.to_string()).await?;
    anyhow::ensure!(status == 200, "{answer}");
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    publish(&mut mirror, &tweets(0..400)).await?;
    let mut indexer = Indexer::into_server(&redis.url(), &server.url()).await?;
    indexer.has(400, 400).await?;
    let log = indexer.consumer.log();
    assert!(log.contains("waits: it is busy"), "{log}");
    assert!(log.contains("tweets have to wait"), "{log}");
    assert_eq!(indexer.status().await?["dead"], 0);
    indexer.consumer.stop().await
}
