//! A `twm-indexer`, its input, and its requests.

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use twm_tests::cluster::{Page, Program, eventually};
use twm_tests::consumer::Consumer;
use twm_tests::server_process::free_port;

/// The stream that the mirror writes.
pub const STREAM: &str = "twm:tweets";

/// A running indexer with its own folder.
pub struct Indexer {
    pub consumer: Consumer,
    pub folder: TempDir,
    address: String,
}

impl Indexer {
    /// Starts an indexer with an embedded index.
    pub async fn embedded(redis: &str) -> anyhow::Result<Self> {
        Self::start(redis, &["--embedded"]).await
    }

    /// Starts an indexer of another source with an embedded index.
    pub async fn of_source(redis: &str, source: &str) -> anyhow::Result<Self> {
        Self::start(redis, &["--embedded", "--source", source]).await
    }

    /// Starts an indexer that writes to a server.
    pub async fn into_server(redis: &str, server: &str) -> anyhow::Result<Self> {
        Self::start(redis, &["--server", server]).await
    }

    async fn start(redis: &str, kind: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-indexer-")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut arguments: Vec<String> = kind.iter().map(|word| (*word).to_owned()).collect();
        arguments.extend(["--redis", redis, "--listen", &address].map(str::to_owned));
        arguments.extend(["--data-dir".to_owned(), file("data"), "--dead".to_owned(), file("dead")]);
        let consumer = Consumer::start(Program::Indexer, folder.path(), arguments)?;
        let indexer = Self { consumer, folder, address };
        indexer.answers().await?;
        Ok(indexer)
    }

    /// Restarts the indexer, and waits until it answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.consumer.restart()?;
        self.answers().await
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let answers = eventually("it answers", async || Ok(self.status().await.ok())).await;
        answers.map(drop).with_context(|| self.consumer.log())
    }

    /// The listen address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The status page.
    pub async fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&Page::get(&self.address, "/status").await?.body)?)
    }

    /// Requests an inspection with these parameters.
    pub async fn inspect(&self, parameters: &str) -> anyhow::Result<Value> {
        let page = Page::get(&self.address, &format!("/inspect?{parameters}")).await?;
        anyhow::ensure!(page.status == 200, "{parameters}: {} {}", page.status, page.body);
        Ok(serde_json::from_str(&page.body)?)
    }

    /// Waits until all `entries` of the stream are read and `tweets` can be found.
    pub async fn has(&self, entries: u64, tweets: u64) -> anyhow::Result<()> {
        let mut last = Value::Null;
        let there = eventually("all is indexed", async || {
            // The indexer may be starting.
            let Ok(status) = self.status().await else { return Ok(None) };
            last = status;
            let read = last["stream"]["entries"] == entries && last["stream"]["behind"] == 0;
            Ok((read && last["tweets"] == tweets).then_some(()))
        });
        there.await.with_context(|| format!("{tweets} of {entries}: {last}: {}", self.consumer.log()))
    }

    /// The lines of the dead-item file.
    pub fn dead(&self) -> anyhow::Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.folder.path().join("dead"))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

/// A tweet written `id` seconds into 2013.
pub fn tweet(id: u64, text: &str) -> String {
    let (day, hour, minute, second) = (id / 86_400 + 1, id / 3_600 % 24, id / 60 % 60, id % 60);
    json!({
        "created_at": format!("Tue Jan {day:02} {hour:02}:{minute:02}:{second:02} +0000 2013"),
        "id": id, "id_str": id.to_string(), "text": text,
        "user": { "id_str": "7", "screen_name": format!("User_{}", id % 3) },
        "entities": { "hashtags": [{ "text": if id % 2 == 0 { "Even" } else { "odd" } }] },
    })
    .to_string()
}

/// Publishes tweets as the mirror does.
pub async fn publish(mirror: &mut MultiplexedConnection, tweets: &[(u64, String)]) -> anyhow::Result<()> {
    for tweets in tweets.chunks(200) {
        let mut batch = redis::pipe();
        for (id, json) in tweets {
            let add = batch.cmd("XADD").arg(STREAM).arg("*").arg("id").arg(id).arg("user").arg(7);
            add.arg("json").arg(json).ignore();
        }
        batch.query_async::<()>(mirror).await?;
    }
    Ok(())
}

/// Tweets with these ids.
pub fn tweets(ids: std::ops::Range<u64>) -> Vec<(u64, String)> {
    ids.map(|id| (id, tweet(id, &format!("tweet number{id} of many")))).collect()
}
