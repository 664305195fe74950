//! Every index gives the same answer.

use std::path::Path;

use storage::dataset::TimelineReader;
use storage::ids::PostId;
use twm_tests::redis_server::RedisServer;
use twm_tests::search_server::{Product, SearchServer};

use super::indexer::{Indexer, publish, tweet};

/// The tweets of the bundled fixture, and some unusual ones.
fn all_tweets() -> anyhow::Result<Vec<(u64, String)>> {
    let mut tweets = Vec::new();
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixture"))? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|kind| kind == "twt") {
                let mut timeline = TimelineReader::open(&path)?;
                while let Some((id, line)) = timeline.next_tweet()? {
                    let PostId::Number(id) = id else { anyhow::bail!("tweet {id} has no number") };
                    tweets.push((id, line.to_owned()));
                }
            }
        }
    }
    let undated = |id: u64| tweet(id, "東京 e.g. Don't \u{2600} İzmir").replace("+0000", "nowhere");
    tweets.extend((1..5).map(|id| (id, undated(id))));
    Ok(tweets)
}

#[tokio::test]
async fn an_inspection_is_answered_alike_by_every_index() -> anyhow::Result<()> {
    let open = SearchServer::start(Product::OpenSearch, &[]).await?;
    let elastic = SearchServer::start(Product::Elasticsearch, &[]).await?;
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let tweets = all_tweets()?;
    publish(&mut mirror, &tweets).await?;
    let mut indexers = [
        Indexer::embedded(&redis.url()).await?,
        Indexer::into_server(&redis.url(), &open.url()).await?,
        Indexer::into_server(&redis.url(), &elastic.url()).await?,
    ];
    let entries = tweets.len() as u64;
    for indexer in &indexers {
        indexer.has(entries, entries).await?;
    }
    let [embedded, open, elastic] = &indexers;
    let word = "query=%D1%81%D0%B5%D0%B3%D0%BE%D0%B4%D0%BD%D1%8F";
    let mut seen = Vec::new();
    for parameters in [
        "",
        word,
        "query=don't+e.g",
        "query=%E6%9D%B1%E4%BA%AC",
        "query=%40LEA7",
        "query=RT",
        "from=2013-05-01&to=2013-05-29",
        "from=2013-05-29T12:00:00Z",
        "to=2012-12-31",
        "from=2030-01-01",
    ] {
        let answer = embedded.inspect(parameters).await?;
        assert_eq!(open.inspect(parameters).await?, answer, "OpenSearch, {parameters}");
        assert_eq!(elastic.inspect(parameters).await?, answer, "Elasticsearch, {parameters}");
        seen.push(answer);
    }
    let all = &seen[0];
    assert_eq!(all["total"], entries);
    assert_eq!(all["places"]["tweets"], 273);
    let tag = all["hashtags"][0]["hashtag"].as_str().unwrap_or_default();
    let tagged = format!("query=%23{}", tag.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>());
    let answer = embedded.inspect(&tagged).await?;
    assert_eq!(answer["total"], all["hashtags"][0]["tweets"], "{tag}");
    assert_eq!(open.inspect(&tagged).await?, answer);
    assert_eq!(seen[2]["total"], 4, "{}", seen[2]);
    assert!(seen[6]["total"].as_u64() > Some(0) && seen[9]["total"] == 0, "{}", seen[6]);
    for indexer in &mut indexers {
        indexer.consumer.stop().await?;
    }
    Ok(())
}
