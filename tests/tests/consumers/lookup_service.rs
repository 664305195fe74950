//! A `twm-lookup` and its requests.

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use twm_tests::cluster::{DEADLINE, Page, Program, eventually};
use twm_tests::server_process::free_port;

use twm_tests::consumer::Consumer;

/// The stream that the mirror writes.
pub const STREAM: &str = "twm:profiles";

/// A running service with its own data folder.
pub struct Lookup {
    pub consumer: Consumer,
    address: String,
    _folder: TempDir,
}

impl Lookup {
    /// Starts a service that reads this Redis, and waits until it answers.
    pub async fn start(redis: &str) -> anyhow::Result<Self> {
        let lookup = Self::start_with(redis, &[])?;
        lookup.answers().await?;
        Ok(lookup)
    }

    /// Starts a service with additional flags, without waiting for it to answer.
    pub fn start_with(redis: &str, further: &[&str]) -> anyhow::Result<Self> {
        let folder = TempDir::with_prefix("twm-lookup-")?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let data = folder.path().join("data").display().to_string();
        let arguments = ["--redis", redis, "--listen", &address, "--data-dir", &data];
        let consumer =
            Consumer::start(Program::Lookup, folder.path(), arguments.iter().chain(further).copied())?;
        Ok(Self { consumer, address, _folder: folder })
    }

    /// Restarts the service, and waits until it answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.consumer.restart()?;
        self.answers().await
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let answers = eventually("it answers", async || Ok(self.get("/lookup/status").await.ok())).await;
        answers.map(drop).with_context(|| self.consumer.log())
    }

    /// The listen address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Gets a page.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let page = Page::get(&self.address, path).await?;
        Ok((page.status, page.body))
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &str) -> anyhow::Result<(u16, String)> {
        self.request("POST", path, "application/json", body.as_bytes()).await
    }

    /// Sends a request; returns the status and the body.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> anyhow::Result<(u16, String)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.exchange(&[head.as_bytes(), body].concat()).await
    }

    /// Sends bytes; returns the status and the body of the answer.
    pub async fn exchange(&self, bytes: &[u8]) -> anyhow::Result<(u16, String)> {
        let exchange = async {
            let mut stream = TcpStream::connect(&self.address).await?;
            // The service may refuse the request and close the connection before everything is sent.
            let _cut_short = stream.write_all(bytes).await;
            let mut answer = Vec::new();
            let _reset = stream.read_to_end(&mut answer).await;
            anyhow::Ok(String::from_utf8(answer)?)
        };
        let answer = timeout(DEADLINE, exchange).await.context("no answer")??;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// Waits until the stored profile equals `json`.
    pub async fn has(&self, id: u64, json: &str) -> anyhow::Result<()> {
        let expected = (200, json.to_owned());
        let path = format!("/lookup/id/{id}");
        let has = eventually("the profile is there", async || {
            Ok((self.get(&path).await? == expected).then_some(()))
        });
        has.await.with_context(|| format!("{id}: {json}: {}", self.consumer.log()))
    }

    /// The status page.
    pub async fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.get("/lookup/status").await?.1)?)
    }
}

/// A profile as an API sends it, with odd spaces and escapes.
pub fn profile(id: u64, name: &str, text: &str) -> String {
    format!("{{\"id\": {id},  \"screen_name\":\"{name}\", \"description\": \"\\u00e9 {text}\", \"n\":1.50}}")
}

/// Publishes a profile as the mirror does.
pub async fn publish(mirror: &mut MultiplexedConnection, id: u64, json: &str) -> anyhow::Result<()> {
    let mut add = redis::cmd("XADD");
    add.arg(STREAM).arg("*").arg("id").arg(id).arg("json").arg(json);
    let _: String = add.query_async(mirror).await?;
    Ok(())
}

/// Ids and names as `/lookup/batch` takes them.
pub fn batch(ids: &[u64], names: &[&str]) -> String {
    json!({ "ids": ids, "names": names }).to_string()
}
