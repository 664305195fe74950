//! What both sides say before anything else.
//!
//! The greeting keeps what is not a twm peer, another cluster, another wire version and a wrong
//! address away from the protocol. It is versioned by [`MAGIC`] alone and must stay readable by all
//! versions.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::{NodeId, WIRE_VERSION};

use super::codec::framed;

/// `twm` and the version of the greeting itself.
const MAGIC: u32 = u32::from_be_bytes(*b"twm\x01");

/// Longest greeting, bytes.
const MAX_GREETING: usize = 1024;

/// How long either side waits for the other's greeting: a half-open connection costs no longer.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Calls of the tracker's API.
    Api,
    /// Log entries.
    Replication,
    /// Heartbeats, votes and leader transfers.
    Control,
    /// Snapshots.
    Snapshot,
    /// Calls of the tracker's API that a node passes on, for clients or for its own session.
    Forward,
}

/// Said by the side that connects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    magic: u32,
    wire_version: u32,
    /// What the connection is for.
    pub purpose: Purpose,
    /// The cluster's name; absent where any will do (clients).
    pub cluster: Option<String>,
    /// The node that is expected to answer; absent where any will do.
    pub node: Option<NodeId>,
}

/// Said by the side that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on.
    Welcome,
    /// Go away, and why.
    Refused(String),
}

impl Greeting {
    /// A greeting of this program's version.
    pub fn new(purpose: Purpose, cluster: Option<String>, node: Option<NodeId>) -> Self {
        Self { magic: MAGIC, wire_version: WIRE_VERSION, purpose, cluster, node }
    }

    /// What is wrong with the greeting for this node of this cluster.
    pub fn refusal(&self, cluster: &str, node: NodeId) -> Option<String> {
        if self.wire_version != WIRE_VERSION {
            return Some(format!(
                "wire version {} is spoken here, not {}; install the same release on both sides",
                WIRE_VERSION, self.wire_version
            ));
        }
        if let Some(other) = self.cluster.as_ref().filter(|c| *c != cluster) {
            return Some(format!(
                "this is a node of cluster {cluster:?}, not {other:?}; check --peers and --cluster"
            ));
        }
        if let Some(other) = self.node.filter(|&n| n != node) {
            return Some(format!("this is node {node}, not node {other}; check --id and --peers"));
        }
        None
    }
}

/// Greets, and waits for the welcome.
pub async fn greet(stream: TcpStream, greeting: &Greeting) -> io::Result<(TcpStream, Welcome)> {
    let mut frames = framed(stream, MAX_GREETING);
    let bytes = postcard::to_stdvec(greeting).map_err(io::Error::other)?;
    let welcome = timeout(GREETING_TIMEOUT, async {
        frames.send(Bytes::from(bytes)).await?;
        let answer = frames.next().await.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let answer =
            answer.map_err(|e| if e.kind() == io::ErrorKind::InvalidData { stranger() } else { e })?;
        postcard::from_bytes(&answer).map_err(|_| stranger())
    })
    .await
    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no greeting within 3 s"))??;
    Ok((frames.into_inner(), welcome))
}

/// Something else than a node answered.
fn stranger() -> io::Error {
    let what = "what answers there is no twm node; give the port that --peers names, not that of --http";
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Waits for a greeting.
pub async fn receive_greeting<S>(stream: S) -> io::Result<(S, Greeting)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = framed(stream, MAX_GREETING);
    let frame = timeout(GREETING_TIMEOUT, frames.next())
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no greeting within 3 s"))?
        .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))??;
    let greeting: Greeting = postcard::from_bytes(&frame)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "what came is no greeting"))?;
    if greeting.magic != MAGIC {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "what came is no greeting of twm"));
    }
    Ok((frames.into_inner(), greeting))
}

/// Answers a greeting.
pub async fn send_welcome<S>(stream: S, welcome: &Welcome) -> io::Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = framed(stream, MAX_GREETING);
    let bytes = postcard::to_stdvec(welcome).map_err(io::Error::other)?;
    frames.send(Bytes::from(bytes)).await?;
    Ok(frames.into_inner())
}
