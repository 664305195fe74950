//! A page of a node's HTTP port.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
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
    /// The server does not accept the connection, or the response is not HTTP.
    pub async fn get(address: &str, path: &str) -> anyhow::Result<Self> {
        Self::ask(address, "GET", path, "").await
    }

    /// Sends JSON to `path` of the server at `HOST:PORT`.
    ///
    /// # Errors
    /// The server does not accept the connection, or the response is not HTTP.
    pub async fn ask(address: &str, method: &str, path: &str, json: &str) -> anyhow::Result<Self> {
        Self::ask_with(address, (method, path), &[], json).await
    }

    /// The same with further headers, which are whole lines.
    ///
    /// # Errors
    /// The server does not accept the connection, or the response is not HTTP.
    pub async fn ask_with(
        address: &str,
        (method, path): (&str, &str),
        headers: &[&str],
        json: &str,
    ) -> anyhow::Result<Self> {
        let mut about: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        if !json.is_empty() {
            about += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", json.len());
        }
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
        Self::read(&answer)
    }

    /// Sends a request over TLS with an independent client, `openssl s_client`, which checks that the server's
    /// certificate is issued by the authority and contains its address. `arguments` are further ones, such as a
    /// client certificate; `headers` are whole lines.
    ///
    /// # Errors
    /// The server is not trusted, does not trust the client, or the response is not HTTP.
    pub async fn ask_over_tls(
        address: &str,
        authority: &Path,
        arguments: &[&str],
        (method, path): (&str, &str),
        headers: &[&str],
    ) -> anyhow::Result<Self> {
        let ip = address.rsplit_once(':').map_or(address, |(ip, _)| ip);
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", ip, "-connect", address])
            .arg("-CAfile")
            .arg(authority)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
        let mut asked = client.stdin.take().context("no way to the client")?;
        // A rejected client does not read its input; its output tells why.
        let _sent = asked.write_all(request.as_bytes()).await;
        let output = timeout(DEADLINE, client.wait_with_output()).await;
        let output = output.with_context(|| format!("{address} does not answer"))??;
        drop(asked);
        let said = String::from_utf8_lossy(&output.stderr);
        Self::read(&String::from_utf8_lossy(&output.stdout)).with_context(|| format!("it says {said}"))
    }

    fn read(answer: &str) -> anyhow::Result<Self> {
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
