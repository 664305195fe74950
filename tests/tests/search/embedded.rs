//! The embedded index: tests that need no Java.

use serde_json::json;
use twm_tests::cluster::{Page, Program, ended};
use twm_tests::redis_server::RedisServer;

use super::indexer::{Indexer, STREAM, publish, tweet, tweets};

#[tokio::test]
async fn tweets_are_found_by_words_hashtags_authors_and_dates() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    publish(&mut mirror, &tweets(0..50)).await?;
    let mut indexer = Indexer::embedded(&redis.url()).await?;
    indexer.has(50, 50).await?;
    // Later tweets are indexed too, and a repeated tweet is indexed once.
    publish(&mut mirror, &tweets(49..100)).await?;
    indexer.has(101, 100).await?;
    for (parameters, total) in [
        ("", 100),
        ("query=TWEET+number7", 1),
        ("query=number7+of", 1),
        ("query=number7+number8", 0),
        ("query=%23even", 50),
        ("query=%40user_1", 33),
        ("query=%40user_1+%23even+tweet", 16),
        ("from=2013-01-01T00:00:10Z&to=2013-01-01T00:00:20Z", 10),
        ("to=2013-01-01", 100),
        ("from=2013-01-02", 0),
    ] {
        assert_eq!(indexer.inspect(parameters).await?["total"], total, "{parameters}");
    }
    let whole = indexer.inspect("").await?;
    assert_eq!(whole["hashtags"][0], json!({ "hashtag": "even", "tweets": 50, "share": 0.5 }));
    assert_eq!(whole["samples"][0]["id"], "99");
    assert_eq!(whole["over_time"]["interval_ms"], 5_000);
    indexer.consumer.stop().await
}

#[tokio::test]
async fn killed_at_any_moment_it_misses_nothing_and_doubles_nothing() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let mut indexer = Indexer::embedded(&redis.url()).await?;
    let (mut next, mut entries) = (0, 0);
    for round in 1..=6_u64 {
        publish(&mut mirror, &tweets(next..next + 1_500 * round)).await?;
        (next, entries) = (next + 1_500 * round, entries + 1_500 * round);
        // Killed while it reads or commits.
        let started = indexer.status().await?["stream"]["entries"].as_u64().unwrap_or(0);
        twm_tests::cluster::eventually("it has read some more", async || {
            let entries = indexer.status().await?["stream"]["entries"].as_u64().unwrap_or(0);
            Ok((entries > started).then_some(()))
        })
        .await?;
        indexer.consumer.kill().await?;
        indexer.restart().await?;
    }
    redis.kill().await?;
    redis.restart().await?;
    mirror = redis.connection().await?;
    publish(&mut mirror, &tweets(next..next + 1)).await?;
    indexer.has(entries + 1, next + 1).await?;
    assert_eq!(indexer.status().await?["stream"]["lost"], 0);
    for id in [0, 1_499, 1_500, next / 2, next] {
        assert_eq!(indexer.inspect(&format!("query=number{id}")).await?["total"], 1, "{id}");
    }
    indexer.consumer.stop().await
}

#[tokio::test]
async fn what_is_no_tweet_is_reported_and_holds_nothing_up() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let long = tweet(8, "long name").replace("User_2", &"x".repeat(40_000));
    let bad = [(1, "no json".to_owned()), (2, tweet(2, "good")), (3, "{}".to_owned()), (8, long)];
    publish(&mut mirror, &bad).await?;
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("*").arg("other").arg("x");
    let _: String = add.query_async(&mut mirror).await?;
    let mut indexer = Indexer::embedded(&redis.url()).await?;
    indexer.has(5, 1).await?;
    assert_eq!(indexer.status().await?["dead"], 4);
    let dead = indexer.dead()?;
    let reasons: Vec<_> = dead.iter().map(|item| item["reason"].as_str().unwrap_or_default()).collect();
    for words in ["not a tweet's JSON", "it has no `text`", "no field `json`", "screen_name has 40000 bytes"]
    {
        assert!(reasons.iter().any(|reason| reason.contains(words)), "{words}: {reasons:?}");
    }
    assert_eq!((&dead[0]["id"], &dead[0]["json"]), (&json!("1"), &json!("no json")));
    indexer.consumer.says("not indexed: not a tweet's JSON").await?;
    // A restart does not report them again.
    indexer.consumer.stop().await?;
    indexer.restart().await?;
    publish(&mut mirror, &tweets(20..21)).await?;
    indexer.has(6, 2).await?;
    assert_eq!((&indexer.status().await?["dead"], indexer.dead()?.len()), (&json!(4), 4));
    indexer.consumer.stop().await
}

#[tokio::test]
async fn recreate_reads_the_stream_from_its_beginning_and_trimmed_entries_are_counted() -> anyhow::Result<()>
{
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    publish(&mut mirror, &tweets(0..30)).await?;
    let mut indexer = Indexer::embedded(&redis.url()).await?;
    indexer.has(30, 30).await?;
    indexer.consumer.stop().await?;
    publish(&mut mirror, &tweets(30..60)).await?;
    let _: i64 = redis::cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(10).query_async(&mut mirror).await?;
    indexer.restart().await?;
    indexer.has(60, 40).await?;
    assert_eq!(indexer.status().await?["stream"]["lost"], 20);
    indexer.consumer.says("run twm-indexer without such pauses").await?;
    indexer.consumer.stop().await?;
    let data = indexer.folder.path().join("data").display().to_string();
    let again = ["--embedded", "--recreate", "--redis", &redis.url(), "--data-dir", &data, "--listen"];
    let again = [&again[..], &[indexer.address()]].concat();
    let mut fresh = twm_tests::consumer::Consumer::start(Program::Indexer, indexer.folder.path(), again)?;
    indexer.has(60, 10).await?;
    fresh.stop().await
}

#[tokio::test]
async fn bad_requests_and_settings_get_clear_errors() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut indexer = Indexer::embedded(&redis.url()).await?;
    for (path, status, words) in [
        ("/inspect?from=yesterday", 400, "`from` is no date"),
        ("/inspect?from=2013-02-01&to=2013-01-01", 400, "not before"),
        ("/inspect?query=%23", 400, "no word"),
        ("/inspect?other=1", 400, "unknown field"),
        ("/nothing", 404, "no such page"),
    ] {
        let page = Page::get(indexer.address(), path).await?;
        assert!(page.status == status && page.body.contains(words), "{path}: {} {}", page.status, page.body);
    }
    let empty = indexer.inspect("").await?;
    assert_eq!((&empty["total"], &empty["over_time"]["buckets"]), (&json!(0), &json!([])));
    let data = indexer.folder.path().join("data").display().to_string();
    let run = async |words: &[&str]| {
        let output = ended(Program::Indexer.command()?.args(["--redis", &redis.url()]).args(words)).await?;
        anyhow::Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let foreign = indexer.folder.path().display().to_string();
    for (words, code, said) in [
        (&["--embedded", "--listen", indexer.address(), "--data-dir", "/tmp"][..], 1, "--listen HOST:PORT"),
        (&["--embedded", "--listen", "127.0.0.1:0", "--data-dir", &data], 1, "in use by another twm-indexer"),
        (&["--embedded", "--listen", "127.0.0.1:0", "--data-dir", &foreign], 1, "which is no index"),
        (&["--server", "ftp://u:s3cret@a"], 2, "http[s]://"),
        (&[], 2, "--server"),
    ] {
        let (found, text) = run(words).await?;
        assert!(found == Some(code) && text.contains(said), "{words:?}: {found:?} {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    indexer.consumer.stop().await
}

#[tokio::test]
async fn posts_of_another_source_are_found_by_words_hashtags_accounts_and_dates() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    // The stream of the default source is none of its business.
    publish(&mut mirror, &tweets(0..5)).await?;
    let (post, did) = ("app.bsky.feed.post", "did:plc:ada");
    let facet = json!([{"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "Roma"}]}]);
    let record = |key: &str, value: serde_json::Value| {
        json!({"uri": format!("at://{did}/{post}/{key}"), "cid": "b", "value": value}).to_string()
    };
    let lines = [
        record(
            "3a",
            json!({"text": "Buongiorno #Roma", "createdAt": "2026-01-02T08:00:00Z", "facets": facet}),
        ),
        record("3b", json!({"text": "good night", "createdAt": "2026-01-03T22:00:00Z", "langs": ["en"]})),
        // A repost has no text.
        record("3c", json!({"subject": {"uri": "at://x/y/z"}, "createdAt": "2026-01-04T00:00:00Z"})),
        "{}".to_owned(),
    ];
    for (number, json) in lines.iter().enumerate() {
        let mut add = redis::cmd("XADD");
        add.arg("twm:tweets:sky").arg("*").arg("source").arg("sky");
        add.arg("id").arg(format!("3{number}+{post}")).arg("user").arg(did).arg("json").arg(json);
        let _: String = add.query_async(&mut mirror).await?;
    }
    let mut indexer = Indexer::of_source(&redis.url(), "sky").await?;
    indexer.has(4, 3).await?;
    for (parameters, total) in
        [("", 3), ("query=buongiorno", 1), ("query=%23roma", 1), ("from=2026-01-03", 2), ("to=2026-01-02", 1)]
    {
        assert_eq!(indexer.inspect(parameters).await?["total"], total, "{parameters}");
    }
    let newest = &indexer.inspect("").await?["samples"][0];
    assert_eq!(newest["id"], format!("at://{did}/{post}/3c"));
    let status = indexer.status().await?;
    assert_eq!((&status["source"], &status["dead"]), (&json!("sky"), &json!(1)));
    indexer.consumer.stop().await
}
