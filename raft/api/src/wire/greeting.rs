//! The first messages of both sides.
//!
//! The greeting rejects whatever is not a twm peer, belongs to another cluster, dialled a wrong address, or has a
//! replaced disk; and it agrees on the protocol version. It is versioned by [`MAGIC`] alone and must stay readable by
//! all versions.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use storage::net::trust::is_of_tls;
use storage::planted::{Bug, planted};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::model::{ClusterId, DiskId, MemberId, NodeId, WIRE_VERSIONS};

use super::codec::framed;

/// `twm` and the version of the greeting itself.
const MAGIC: u32 = u32::from_be_bytes(*b"twm\x02");

/// Longest greeting, bytes.
const MAX_GREETING: usize = 1024;

/// Timeout for the other side's greeting, so that a half-open connection is dropped.
const GREETING_TIMEOUT: Duration = Duration::from_secs(3);

/// The purpose of a connection.
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
    /// Calls of the tracker's API that a node forwards, for clients or for its own session.
    Forward,
    /// Forming and joining a cluster: calls of nodes that are not members yet.
    Joining,
}

impl Purpose {
    /// Whether only members of a cluster use it among themselves.
    pub fn is_of_members(self) -> bool {
        !matches!(self, Self::Api | Self::Joining)
    }
}

/// The expected peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addressee {
    /// The node.
    pub node: NodeId,
    /// Its data directory; absent if any will do.
    pub disk: Option<DiskId>,
}

/// Sent by the connecting side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    magic: u32,
    /// The oldest and the newest protocol version that it speaks.
    versions: (u32, u32),
    /// The purpose of the connection.
    pub purpose: Purpose,
    /// The cluster; absent if any will do (clients, and nodes outside a cluster).
    pub cluster: Option<ClusterId>,
    /// Who connects; absent for clients.
    pub from: Option<MemberId>,
    /// The expected peer; absent if any will do.
    pub to: Option<Addressee>,
}

/// Sent by the listening side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// The connection is accepted.
    Welcome {
        /// The protocol version of this connection.
        version: u32,
        /// The cluster; absent while the node is in none.
        cluster: Option<ClusterId>,
        /// Who answers.
        member: MemberId,
    },
    /// Go away.
    Refused(Refused),
}

/// Why a connection was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// A later attempt may succeed.
    #[error("{0}")]
    Now(String),
    /// The connecting side is no longer a member and never will be again. It has to stop.
    #[error("{0}")]
    Retired(String),
}

/// Who listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// The cluster; absent while the node is in none.
    pub cluster: Option<ClusterId>,
    /// The node and its disk.
    pub member: MemberId,
}

impl Greeting {
    /// A client's greeting.
    pub fn of_client() -> Self {
        Self {
            magic: MAGIC,
            versions: WIRE_VERSIONS,
            purpose: Purpose::Api,
            cluster: None,
            from: None,
            to: None,
        }
    }

    /// The greeting of a node that is not a member and asks about a cluster.
    pub fn of_candidate(from: MemberId, to: Option<NodeId>) -> Self {
        let to = to.map(|node| Addressee { node, disk: None });
        Self { purpose: Purpose::Joining, from: Some(from), to, ..Self::of_client() }
    }

    /// A member's greeting to another member.
    pub fn of_member(purpose: Purpose, cluster: ClusterId, from: MemberId, to: MemberId) -> Self {
        let to = Some(Addressee { node: to.node, disk: Some(to.disk) });
        Self { purpose, cluster: Some(cluster), from: Some(from), to, ..Self::of_client() }
    }

    /// Answers a greeting on behalf of this listener. Whether the connecting disk was replaced is checked elsewhere.
    pub fn answer(&self, listener: &Listener) -> Welcome {
        let refused = |text: String| Welcome::Refused(Refused::Now(text));
        let (oldest, newest) = (WIRE_VERSIONS.0.max(self.versions.0), WIRE_VERSIONS.1.min(self.versions.1));
        if oldest > newest {
            return refused(format!(
                "the protocol's versions {} to {} are spoken here, not {} to {}; install releases that are at most one \
                 version apart",
                WIRE_VERSIONS.0, WIRE_VERSIONS.1, self.versions.0, self.versions.1
            ));
        }
        let member = listener.member;
        match (self.cluster, listener.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                return refused(format!(
                    "this is a node of cluster {ours}, not of {theirs}; check --peers and --data-dir"
                ));
            }
            (Some(theirs), None) => {
                return refused(format!(
                    "node {} has no data of cluster {theirs}: its data directory is empty",
                    member.node
                ));
            }
            _ => {}
        }
        if let Some(to) = self.to {
            if to.node != member.node {
                return refused(format!(
                    "this is node {}, not node {}; check --id and --peers",
                    member.node, to.node
                ));
            }
            if let Some(disk) = to.disk.filter(|disk| *disk != member.disk && !planted(Bug::AnyDisk)) {
                return refused(format!(
                    "node {} answers from another data directory than the member's (disk {:016x}, not {:016x})",
                    to.node, member.disk.0, disk.0
                ));
            }
        }
        if self.purpose != Purpose::Api && self.from.is_none() {
            return refused("a node has to say who it is".to_owned());
        }
        Welcome::Welcome { version: newest, cluster: listener.cluster, member }
    }
}

/// Sends a greeting and waits for the welcome.
pub async fn greet<S>(stream: S, greeting: &Greeting) -> io::Result<(S, Welcome)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frames = framed(stream, MAX_GREETING);
    let bytes = postcard::to_stdvec(greeting).map_err(io::Error::other)?;
    let welcome = timeout(GREETING_TIMEOUT, async {
        frames.send(Bytes::from(bytes)).await?;
        let answer = frames.next().await.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let answer = answer.map_err(|e| {
            if e.kind() == io::ErrorKind::InvalidData && !is_of_tls(&e) { stranger() } else { e }
        })?;
        postcard::from_bytes(&answer).map_err(|_| stranger())
    })
    .await
    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no greeting within 3 s"))??;
    Ok((frames.into_inner(), welcome))
}

/// The peer is not a node.
fn stranger() -> io::Error {
    let what = "what answers there is no twm node of this release; give the port that --peers names, not that of --http, and \
                --tls-ca, --tls-cert and --tls-key where the cluster has them";
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Receives a greeting.
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

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: ClusterId = ClusterId(7);
    const MEMBER: MemberId = MemberId { node: 3, disk: DiskId(30) };
    const LISTENER: Listener = Listener { cluster: Some(CLUSTER), member: MEMBER };

    fn from_member(to: MemberId) -> Greeting {
        Greeting::of_member(Purpose::Control, CLUSTER, MemberId { node: 1, disk: DiskId(10) }, to)
    }

    fn refusal(greeting: &Greeting, listener: &Listener) -> String {
        match greeting.answer(listener) {
            Welcome::Refused(refused) => refused.to_string(),
            Welcome::Welcome { .. } => panic!("{greeting:?} is welcome"),
        }
    }

    #[test]
    fn both_sides_speak_the_newest_version_that_both_know() {
        let newest = WIRE_VERSIONS.1;
        let of = |versions| Greeting { versions, ..Greeting::of_client() };
        let welcome = of((1, newest + 4)).answer(&LISTENER);
        assert_eq!(welcome, Welcome::Welcome { version: newest, cluster: Some(CLUSTER), member: MEMBER });
        assert!(refusal(&of((newest + 1, newest + 2)), &LISTENER).contains("versions"));
    }

    #[test]
    fn a_member_of_another_cluster_and_a_wrong_addressee_are_refused() {
        assert!(matches!(from_member(MEMBER).answer(&LISTENER), Welcome::Welcome { .. }));
        let foreign = Listener { cluster: Some(ClusterId(8)), ..LISTENER };
        assert!(refusal(&from_member(MEMBER), &foreign).contains("this is a node of cluster"));
        assert!(refusal(&from_member(MemberId { node: 2, ..MEMBER }), &LISTENER).contains("this is node 3"));
        let other_disk = MemberId { disk: DiskId(31), ..MEMBER };
        assert!(refusal(&from_member(other_disk), &LISTENER).contains("another data directory"));
        let empty = Listener { cluster: None, ..LISTENER };
        assert!(refusal(&from_member(MEMBER), &empty).contains("its data directory is empty"));
    }

    #[test]
    fn a_connection_for_raft_says_who_it_is() {
        let nobody = Greeting { from: None, ..from_member(MEMBER) };
        assert!(refusal(&nobody, &LISTENER).contains("who it is"));
    }
}
