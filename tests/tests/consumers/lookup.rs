//! `twm-lookup`: every profile of the stream, by id and by name.

use redis::AsyncCommands as _;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use twm_tests::cluster::{Program, ended, eventually};
use twm_tests::redis_server::{RedisSentinel, RedisServer};

use super::lookup_service::{Lookup, STREAM, batch, profile, publish};

#[tokio::test]
async fn profiles_are_answered_as_they_came_by_id_by_name_and_many_at_once() -> anyhow::Result<()> {
    let redis = RedisServer::with_password("s3cret").await?;
    let mut mirror = redis.connection().await?;
    let (anna, berta) = (profile(1, "Anna", "one"), profile(2, "berta", "two"));
    publish(&mut mirror, 1, &anna).await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    lookup.has(1, &anna).await?;
    publish(&mut mirror, 2, &berta).await?;
    lookup.has(2, &berta).await?;
    for name in ["anna", "ANNA", "@Anna", "%41nna"] {
        assert_eq!(lookup.get(&format!("/lookup/name/{name}")).await?, (200, anna.clone()), "{name}");
    }
    assert_eq!(lookup.get("/lookup/id/3").await?, (404, "null".to_owned()));
    assert_eq!(lookup.get("/lookup/name/nobody").await?, (404, "null".to_owned()));

    let (status, answer) = lookup.post("/lookup/batch", &batch(&[2, 3], &["ANNA", "x"])).await?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer, format!(r#"{{"profiles":[{berta},{anna}],"missing":{{"ids":["3"],"names":["x"]}}}}"#));

    // A newer profile replaces the old one, and its name.
    let renamed = profile(1, "Carla", "three");
    publish(&mut mirror, 1, &renamed).await?;
    lookup.has(1, &renamed).await?;
    assert_eq!(lookup.get("/lookup/name/carla").await?, (200, renamed));
    assert_eq!(lookup.get("/lookup/name/anna").await?.0, 404);
    assert_eq!(lookup.status().await?["profiles"], 2);
    lookup.consumer.stop().await
}

#[tokio::test]
async fn an_added_profile_is_durable_at_once_and_the_newest_until_the_stream_brings_one() -> anyhow::Result<()>
{
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    publish(&mut mirror, 1, &profile(1, "a", "of the stream")).await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    lookup.has(1, &profile(1, "a", "of the stream")).await?;
    let added = profile(1, "a", "added");
    assert_eq!(lookup.post("/lookup/add", &added).await?, (200, r#"{"added":true,"id":"1"}"#.to_owned()));
    lookup.consumer.kill().await?;
    lookup.restart().await?;
    lookup.has(1, &added).await?;
    let newer = profile(1, "a", "newer");
    publish(&mut mirror, 1, &newer).await?;
    lookup.has(1, &newer).await?;
    // Text ids as in other networks.
    let foreign = r#"{"id_str":"did:plc:abc","screen_name":"x.example"}"#;
    lookup.post("/lookup/add", foreign).await?;
    assert_eq!(lookup.get("/lookup/id/did:plc:abc").await?, (200, foreign.to_owned()));
    lookup.consumer.stop().await
}

#[tokio::test]
async fn what_is_published_while_it_is_down_or_redis_is_away_is_not_missed() -> anyhow::Result<()> {
    let mut redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    let text = |id: u64| profile(id, &format!("user{id}"), "x");
    for round in 0..3_u64 {
        for id in round * 1_000..round * 1_000 + 700 {
            publish(&mut mirror, id, &text(id)).await?;
        }
        // The service is killed while it reads.
        lookup.consumer.kill().await?;
        for id in round * 1_000 + 700..round * 1_000 + 900 {
            publish(&mut mirror, id, &text(id)).await?;
        }
        lookup.restart().await?;
    }
    redis.kill().await?;
    redis.restart().await?;
    mirror = redis.connection().await?;
    publish(&mut mirror, 9_000, &text(9_000)).await?;
    lookup.has(9_000, &text(9_000)).await?;
    for id in (0..3).flat_map(|round| round * 1_000..round * 1_000 + 900) {
        assert_eq!(lookup.get(&format!("/lookup/id/{id}")).await?, (200, text(id)));
    }
    let status = lookup.status().await?;
    assert_eq!((&status["profiles"], &status["stream"]["lost"]), (&json!(2_701), &json!(0)));
    assert_eq!(status["stream"]["entries"], 2_701);
    lookup.consumer.stop().await
}

#[tokio::test]
async fn entries_trimmed_away_unread_are_counted_and_reported() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    // Entries trimmed before the first start do not count as lost.
    for id in 0..10 {
        publish(&mut mirror, id, &profile(id, "x", "")).await?;
    }
    let _: i64 = redis::cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(5).query_async(&mut mirror).await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    lookup.has(9, &profile(9, "x", "")).await?;
    assert_eq!(lookup.status().await?["stream"]["lost"], 0);

    lookup.consumer.kill().await?;
    for id in 10..40 {
        publish(&mut mirror, id, &profile(id, "x", "")).await?;
    }
    let _: i64 = redis::cmd("XTRIM").arg(STREAM).arg("MAXLEN").arg(8).query_async(&mut mirror).await?;
    lookup.restart().await?;
    lookup.has(39, &profile(39, "x", "")).await?;
    assert_eq!(lookup.status().await?["stream"]["lost"], 22);
    assert_eq!(lookup.get("/lookup/id/20").await?.0, 404);
    lookup.consumer.says("were trimmed away before they were read").await?;

    // A restart does not count them again.
    lookup.consumer.stop().await?;
    lookup.restart().await?;
    publish(&mut mirror, 40, &profile(40, "x", "")).await?;
    lookup.has(40, &profile(40, "x", "")).await?;
    assert_eq!(lookup.status().await?["stream"]["lost"], 22);

    // A different stream under the same key is read from its first entry.
    let _: () = mirror.del(STREAM).await?;
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("1-1").arg("id").arg(50).arg("json").arg(profile(50, "y", ""));
    lookup.consumer.stop().await?;
    let _: String = add.query_async(&mut mirror).await?;
    lookup.restart().await?;
    lookup.has(50, &profile(50, "y", "")).await?;
    lookup.consumer.says("is another one than that which was read").await?;
    lookup.consumer.stop().await
}

#[tokio::test]
async fn without_a_stream_profiles_come_over_the_channel_until_there_is_one() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    lookup.consumer.says("listening to extra.lookupinfos").await?;
    for bad in [&b"no json"[..], b"", b"\xff", b"{}", b"[1]"] {
        let _: i32 = mirror.publish("extra.lookupinfos", bad).await?;
    }
    let anna = profile(1, "anna", "");
    let _: i32 = mirror.publish("extra.lookupinfos", &anna).await?;
    lookup.has(1, &anna).await?;
    let berta = profile(2, "berta", "");
    publish(&mut mirror, 2, &berta).await?;
    lookup.has(2, &berta).await?;
    eventually("the channel is left", async || {
        let heard: i32 = mirror.publish("extra.lookupinfos", "{}").await?;
        Ok((heard == 0).then_some(()))
    })
    .await?;
    lookup.consumer.stop().await
}

/// Fault 4 of the original, for the stream.
#[tokio::test]
async fn one_bad_entry_never_ends_the_lookup() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    let large = format!(r#"{{"id":3,"x":"{}"}}"#, "x".repeat(100_000));
    for (field, bad) in [("json", "no json"), ("other", "x"), ("json", "{}"), ("json", large.as_str())] {
        let _: String =
            redis::cmd("XADD").arg(STREAM).arg("*").arg(field).arg(bad).query_async(&mut mirror).await?;
    }
    let _: String = redis::cmd("XADD")
        .arg(STREAM)
        .arg("*")
        .arg("json")
        .arg(&b"{\"id\":4,\"x\":\"\xff\"}"[..])
        .query_async(&mut mirror)
        .await?;
    let good = profile(5, "e", "");
    publish(&mut mirror, 5, &good).await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    lookup.has(5, &good).await?;
    assert_eq!(lookup.status().await?["profiles"], 1);
    lookup.consumer.says("this is no profile and is left out").await?;
    // A key that is not a stream is logged, and the service recovers without a restart.
    let _: () = mirror.del(STREAM).await?;
    let _: () = mirror.set(STREAM, "x").await?;
    lookup.consumer.says("WRONGTYPE").await?;
    let _: () = mirror.del(STREAM).await?;
    let next = profile(6, "f", "");
    publish(&mut mirror, 6, &next).await?;
    lookup.has(6, &next).await?;
    lookup.consumer.stop().await
}

#[tokio::test]
async fn through_sentinels_profiles_come_after_a_failover() -> anyhow::Result<()> {
    let mut master = RedisServer::with_password("s3cret").await?;
    let replica = master.replica().await?;
    let sentinel = RedisSentinel::watching(&master, "crawl").await?;
    eventually("the sentinel knows the replica", async || {
        Ok((sentinel.replicas("crawl").await? == 1).then_some(()))
    })
    .await?;
    let mut mirror = master.connection().await?;
    let anna = profile(1, "anna", "");
    publish(&mut mirror, 1, &anna).await?;
    let mut lookup =
        Lookup::start(&format!("redis+sentinel://:s3cret@127.0.0.1:{}/crawl", sentinel.port())).await?;
    lookup.has(1, &anna).await?;
    master.kill().await?;
    let berta = profile(2, "berta", "");
    // The sentinel closes all connections of a server that it promotes.
    eventually("the replica takes writes", async || {
        let Ok(mut mirror) = replica.connection().await else { return Ok(None) };
        Ok(publish(&mut mirror, 2, &berta).await.ok())
    })
    .await?;
    lookup.has(2, &berta).await?;
    assert!(!lookup.consumer.log().contains("s3cret"), "{}", lookup.consumer.log());
    lookup.consumer.stop().await
}

#[tokio::test]
async fn garbage_is_answered_with_clear_errors_and_keeps_nobody_out() -> anyhow::Result<()> {
    let redis = RedisServer::start().await?;
    let mut lookup = Lookup::start(&redis.url()).await?;
    let error = |answer: &str| -> String {
        let json: Value = serde_json::from_str(answer).unwrap_or_default();
        json["error"].as_str().unwrap_or_default().to_owned()
    };
    let large = format!(r#"{{"id":1,"x":"{}"}}"#, "x".repeat(70_000));
    let many = batch(&(0..501).collect::<Vec<_>>(), &[]);
    for (path, body, status, words) in [
        ("/lookup/add", "", 400, "not a JSON object"),
        ("/lookup/add", "[1]", 400, "found an array"),
        ("/lookup/add", "{}", 400, "no id"),
        ("/lookup/add", large.as_str(), 413, "at most"),
        ("/lookup/batch", "{}x", 400, "expected {\"ids\""),
        ("/lookup/batch", "{\"idz\":[1]}", 400, "unknown field `idz`"),
        ("/lookup/batch", "{\"ids\":[null]}", 400, "an id is a number"),
        ("/lookup/batch", many.as_str(), 400, "at most 500"),
        ("/lookup/id/1", "{}", 405, "another method"),
        ("/nothing", "{}", 404, "no such page"),
    ] {
        let (found, answer) = lookup.post(path, body).await?;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(error(&answer).contains(words), "{path}: {answer}");
    }
    let (status, answer) = lookup.request("POST", "/lookup/add", "text/plain", b"{\"id\":1}").await?;
    assert!(status == 415 && error(&answer).contains("application/json"), "{status} {answer}");
    let charset =
        lookup.request("POST", "/lookup/add", "application/json; charset=utf-8", b"{\"id\":1}").await?;
    assert_eq!(charset.0, 200);
    assert_eq!(lookup.get(&format!("/lookup/id/{}", "x".repeat(600))).await?.0, 400);
    assert_eq!(lookup.get("/lookup/name/%ff").await?.0, 400);
    assert_eq!(lookup.exchange(b"\x16\x03\x01garbage\r\n\r\n").await?.0, 400);
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(lookup.address()).await?);
    }
    assert_eq!(lookup.get("/lookup/id/1").await?, (200, "{\"id\":1}".to_owned()));

    let second =
        ["--redis", &redis.url(), "--listen", lookup.address(), "--data-dir", "/tmp"].map(str::to_owned);
    let refused = ended(Program::Lookup.command()?.args(second)).await?;
    let text = String::from_utf8(refused.stderr)?;
    assert!(refused.status.code() == Some(1) && text.contains("--listen HOST:PORT"), "{text}");
    let usage = ended(Program::Lookup.command()?.args(["--redis", "http://:s3cret@a"])).await?;
    let text = String::from_utf8(usage.stderr)?;
    assert!(usage.status.code() == Some(2) && !text.contains("s3cret"), "{text}");
    lookup.consumer.stop().await
}

#[tokio::test]
async fn profiles_of_another_source_are_answered_by_their_ids_and_names_from_its_stream() -> anyhow::Result<()>
{
    let redis = RedisServer::start().await?;
    let mut mirror = redis.connection().await?;
    publish(&mut mirror, 1, &profile(1, "anna", "of Twitter")).await?;
    let ada = r#"{"did":"did:plc:ada", "handle":"Ada.test"}"#;
    let mut add = redis::cmd("XADD");
    add.arg("twm:profiles:sky").arg("*").arg("source").arg("sky").arg("id").arg("did:plc:ada");
    let _: String = add.arg("json").arg(ada).query_async(&mut mirror).await?;
    let mut lookup = Lookup::start_with(&redis.url(), &["--source", "sky"])?;
    let found = (200, ada.to_owned());
    eventually("the profile is there", async || {
        Ok(lookup.get("/lookup/id/did:plc:ada").await.ok().filter(|answer| *answer == found).map(drop))
    })
    .await?;
    assert_eq!(lookup.get("/lookup/name/ada.TEST").await?, found);
    assert_eq!(lookup.get("/lookup/id/1").await?.0, 404);
    lookup.consumer.stop().await
}
