//! Connections to Redis.

use std::net::TcpListener;
use std::time::Duration;

use futures::StreamExt as _;
use redis::AsyncCommands as _;
use storage::net::redis::{RedisError, RedisUrl};
use twm_tests::cluster::eventually;
use twm_tests::redis_server::{RedisSentinel, RedisServer};
use twm_tests::server_process::free_port;

const TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_server_with_a_password_is_reached_with_it_and_refuses_without_naming_the_remedy()
-> anyhow::Result<()> {
    let server = RedisServer::with_password("s3cret").await?;
    let address = format!("127.0.0.1:{}", server.port());
    let mut connection = RedisUrl::parse(&format!("redis://:s3cret@{address}/2"))?.connect(TIMEOUT).await?;
    let _: () = connection.set("a", "b").await?;
    let mut other_db = RedisUrl::parse(&server.url())?.connect(TIMEOUT).await?;
    assert_eq!(other_db.get::<_, Option<String>>("a").await?, None);

    let wrong = RedisUrl::parse(&format!("redis://:wr0ng@{address}"))?.connect(TIMEOUT).await;
    let wrong = wrong.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(wrong.contains("check the password in the URL") && !wrong.contains("wr0ng"), "{wrong}");

    let mut without = RedisUrl::parse(&format!("redis://{address}"))?.connect(TIMEOUT).await?;
    let refused = without.get::<_, Option<String>>("a").await.err();
    assert_eq!(refused.as_ref().and_then(|error| error.code()), Some("NOAUTH"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_and_a_silent_server_are_told_apart_and_neither_waits_for_ever() -> anyhow::Result<()> {
    let nobody = RedisUrl::parse(&format!("redis://127.0.0.1:{}", free_port()?))?;
    let refused = nobody.connect(TIMEOUT).await.err();
    assert!(matches!(refused, Some(RedisError::Connect { .. })), "{refused:?}");

    // The system accepts the connection, but no process answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let silent = RedisUrl::parse(&format!("redis://{}", silent.local_addr()?))?;
    let timeout = Duration::from_millis(200);
    for silence in [silent.connect(timeout).await.err(), silent.subscribe(timeout).await.err()] {
        let text = silence.map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains("did not answer within") || text.contains("timed out"), "{text:?}");
    }
    Ok(())
}

#[tokio::test]
async fn messages_come_over_a_subscription_and_it_ends_with_its_server() -> anyhow::Result<()> {
    let mut server = RedisServer::with_password("s3cret").await?;
    let mut subscription = RedisUrl::parse(&server.url())?.subscribe(TIMEOUT).await?;
    subscription.psubscribe("stats.*").await?;
    let _: () = server.connection().await?.publish("stats.a", "1").await?;
    let mut messages = subscription.into_on_message();
    let message = messages.next().await.map(|message| message.get_payload_bytes().to_vec());
    assert_eq!(message.as_deref(), Some(&b"1"[..]));
    server.kill().await?;
    assert!(messages.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn sentinels_lead_to_the_master_and_after_a_failover_to_the_new_one() -> anyhow::Result<()> {
    let mut master = RedisServer::with_password("s3cret").await?;
    let replica = master.replica().await?;
    let sentinel = RedisSentinel::watching(&master, "crawl").await?;
    // An unreachable first sentinel must not matter.
    let away = free_port()?;
    let hosts = format!("127.0.0.1:{away},127.0.0.1:{}", sentinel.port());
    let url = RedisUrl::parse(&format!("redis+sentinel://:s3cret@{hosts}/crawl/1"))?;
    let mut connection = url.connect(TIMEOUT).await?;
    let _: () = connection.set("a", "b").await?;
    let mut subscription = url.subscribe(TIMEOUT).await?;
    subscription.subscribe("c").await?;

    eventually("the sentinel knows the replica", async || {
        Ok((sentinel.replicas("crawl").await? == 1).then_some(()))
    })
    .await?;
    let copied: usize = redis::cmd("WAIT").arg(1).arg(5_000).query_async(&mut connection).await.unwrap_or(0);
    assert!(copied >= 1, "the replica did not copy in time");
    master.kill().await?;
    let mut connection =
        eventually("a new master takes over", async || Ok(url.connect(TIMEOUT).await.ok())).await?;
    assert_eq!(connection.get::<_, String>("a").await?, "b");
    let _: () = connection.set("a", "c").await?;
    let port: Vec<String> = redis::cmd("CONFIG").arg("GET").arg("port").query_async(&mut connection).await?;
    assert_eq!(port, ["port".to_owned(), replica.port().to_string()]);

    let unknown = RedisUrl::parse(&format!("redis+sentinel://127.0.0.1:{}/other", sentinel.port()))?;
    let unknown = unknown.connect(TIMEOUT).await.err();
    assert!(matches!(unknown, Some(RedisError::UnknownMaster { .. })), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn a_sentinel_that_names_a_replica_is_not_believed() -> anyhow::Result<()> {
    let master = RedisServer::start().await?;
    let replica = master.replica().await?;
    // The sentinel watches the replica and takes it for a master until its first poll.
    let sentinel = RedisSentinel::watching(&replica, "crawl").await?;
    let url = RedisUrl::parse(&format!("redis+sentinel://127.0.0.1:{}/crawl", sentinel.port()))?;
    match url.connect(TIMEOUT).await {
        Err(RedisError::NotMaster { role, .. }) => assert_eq!(role, "slave"),
        // The sentinel has polled in the meantime and follows the replica to its master.
        Ok(mut connection) => {
            let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
            assert_eq!(role.first(), Some(&redis::Value::BulkString(b"master".to_vec())));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
