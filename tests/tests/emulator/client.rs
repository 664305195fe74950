//! A plain HTTP client: one connection per request, from any address.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// Longer than any answer of a local emulator takes.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn lines(&self) -> Vec<u64> {
        std::str::from_utf8(&self.body).unwrap().lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Sends a request and returns the answer as soon as its headers arrive.
pub async fn open(from: &str, url: &str, form: Option<String>) -> Result<Response<Incoming>> {
    open_with(from, url, form, &[]).await
}

/// With further headers; `host` is the URL's if it is not among them.
async fn open_with(
    from: &str,
    url: &str,
    form: Option<String>,
    headers: &[(&str, &str)],
) -> Result<Response<Incoming>> {
    let uri: Uri = url.parse()?;
    let authority = uri.authority().context("no host")?.as_str();
    let socket = TcpSocket::new_v4()?;
    socket.bind((from.parse::<IpAddr>()?, 0).into())?;
    let stream = socket.connect(authority.parse()?).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(if form.is_some() { "POST" } else { "GET" })
        .uri(uri.path_and_query().context("no path")?.as_str());
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", authority);
    }
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| request.header(*name, *value))
        .body(Full::new(Bytes::from(form.unwrap_or_default())))?;
    Ok(sender.send_request(request).await?)
}

async fn send(from: &str, url: &str, form: Option<String>) -> Result<Reply> {
    send_with(from, url, form, &[]).await
}

async fn send_with(from: &str, url: &str, form: Option<String>, headers: &[(&str, &str)]) -> Result<Reply> {
    let exchange = async {
        let (head, body) = open_with(from, url, form, headers).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(DEADLINE, exchange).await.context("no answer in time")?
}

pub async fn try_get(url: &str) -> Result<Reply> {
    send("127.0.0.1", url, None).await
}

pub async fn try_get_with(url: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    send_with("127.0.0.1", url, None, headers).await
}

pub async fn get(url: &str) -> Reply {
    try_get(url).await.unwrap()
}

pub async fn get_from(address: &str, url: &str) -> Reply {
    send(address, url, None).await.unwrap()
}

pub async fn post(url: &str, form: &str) -> Reply {
    send("127.0.0.1", url, Some(form.into())).await.unwrap()
}
