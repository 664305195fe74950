//! A page of a node's HTTP port.

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DEADLINE;

/// A page of a node's HTTP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The text.
    pub body: String,
}

impl Page {
    /// Gets `path` from the server at `HOST:PORT`.
    ///
    /// # Errors
    /// Nobody listens, or the answer is no HTTP.
    pub async fn get(address: &str, path: &str) -> anyhow::Result<Self> {
        Self::ask(address, "GET", path, "").await
    }

    /// Sends JSON to `path` of the server at `HOST:PORT`.
    ///
    /// # Errors
    /// Nobody listens, or the answer is no HTTP.
    pub async fn ask(address: &str, method: &str, path: &str, json: &str) -> anyhow::Result<Self> {
        let about = match json {
            "" => String::new(),
            json => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len()),
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{about}\r\n{json}");
        let exchange = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer =
            timeout(DEADLINE, exchange).await.with_context(|| format!("{address} does not answer"))??;
        let (head, body) =
            answer.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok(Self { status: status.context("an answer without a status")?, body: body.to_owned() })
    }

    /// The sum of a metric's samples whose labels contain `label`; 0 without any.
    pub fn metric(&self, name: &str, label: &str) -> f64 {
        let samples = self.body.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let values = samples.filter(|line| line.contains(label)).filter_map(|line| line.rsplit(' ').next());
        values.filter_map(|value| value.parse::<f64>().ok()).sum()
    }
}
