//! The port that peers and clients connect to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use rustix::net::sockopt;
use tarpc::context;
use tarpc::server::Channel;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::consensus::RaftMessage;
use crate::wire::{
    ApiError, ApiReply, ApiRequest, Forwarded, Peer, Purpose, Welcome, calls_on, receive_greeting,
    send_welcome,
};

use super::lobby::Lobby;
use super::tracker::Tracker;

/// Connections of clients, those on which nodes pass calls on, and those for Raft, each at most. Further ones are refused.
const MAX_CONNECTIONS: usize = 1024;

/// Calls under way on one connection of a client, and of a node, at most. Further ones are not read before.
const MAX_CALLS: (usize, usize) = (256, 4096);

/// How long a connection may be without a call before it is ended; whoever needs it again makes a new one.
const IDLE: Duration = Duration::from_secs(60);

/// The same for Raft's, and how long its first message may take.
const RAFT_IDLE: Duration = Duration::from_secs(30);
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// Seconds of silence on a connection after which its other end is asked whether it is still there, and between such
/// questions. One that vanished without a word answers none.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(10);

/// What all connections share.
#[derive(Default)]
struct Doors {
    lobby: Lobby,
    api: Slots,
    forward: Slots,
    raft: Slots,
}

struct Slots(Arc<Semaphore>);

impl Default for Slots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_CONNECTIONS)))
    }
}

/// Accepts connections until the tracker stops; then all of them end.
pub(super) async fn run(tracker: Tracker, listener: TcpListener) {
    let doors = Arc::new(Doors::default());
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let (tracker, doors) = (tracker.clone(), Arc::clone(&doors));
                    let waiting = doors.lobby.enter();
                    connections.spawn(async move {
                        if let Err(error) = serve(tracker, stream, &doors, waiting).await {
                            tracing::debug!(%from, %error, "connection ended");
                        }
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others must close theirs first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    };
    tokio::select! {
        () = accept => {}
        () = tracker.stopped() => {}
    }
}

async fn serve(
    tracker: Tracker,
    stream: TcpStream,
    doors: &Doors,
    waiting: CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    let _left = waiting.clone().drop_guard();
    let (stream, greeting) = tokio::select! {
        greeted = receive_greeting(stream) => greeted?,
        () = waiting.cancelled() => return Err(io::Error::other("it did not greet, and others came")),
    };
    waiting.cancel();
    let slots = match greeting.purpose {
        Purpose::Api => &doors.api,
        Purpose::Forward => &doors.forward,
        Purpose::Replication | Purpose::Control | Purpose::Snapshot => &doors.raft,
    };
    let slot = Arc::clone(&slots.0).try_acquire_owned();
    let options = &tracker.inner.options;
    let full =
        || slot.is_err().then(|| format!("all {MAX_CONNECTIONS} connections are taken; try again later"));
    if let Some(reason) = greeting.refusal(&options.cluster, options.id).or_else(full) {
        tracing::warn!(%reason, "refused a connection");
        send_welcome(stream, &Welcome::Refused(reason)).await?;
        return Ok(());
    }
    let stream = send_welcome(stream, &Welcome::Welcome).await?;
    let purpose = greeting.purpose;
    let strange = CancellationToken::new();
    let server = PeerServer { tracker, purpose, strange: strange.clone() };
    let mut calls = JoinSet::new();
    let mut requests = Box::pin(calls_on(stream, purpose).execute(server.serve()));
    let (first, idle, most) = match purpose {
        Purpose::Api => (IDLE, IDLE, MAX_CALLS.0),
        Purpose::Forward => (IDLE, IDLE, MAX_CALLS.1),
        Purpose::Replication | Purpose::Control | Purpose::Snapshot => {
            (FIRST_MESSAGE, RAFT_IDLE, MAX_CALLS.1)
        }
    };
    let mut patience = first;
    loop {
        let call = tokio::select! {
            call = timeout(patience, requests.next()) => call,
            () = strange.cancelled() => return Err(io::Error::other("what came is no message of Raft")),
        };
        while calls.try_join_next().is_some() {}
        match call {
            Ok(Some(call)) => {
                calls.spawn(call);
                patience = idle;
            }
            Ok(None) => return Ok(()),
            // A call that takes long, such as a wait for work or the end of a snapshot, is no silence.
            Err(_) if !calls.is_empty() => {}
            Err(_) => return Err(io::Error::other(format!("no call came within {patience:?}"))),
        }
        if calls.len() >= most {
            calls.join_next().await;
        }
    }
}

/// Lets the system notice that the other end has vanished without a word.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEP_ALIVE)?;
    Ok(sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_AGAIN)?)
}

#[derive(Clone)]
struct PeerServer {
    tracker: Tracker,
    purpose: Purpose,
    /// Ends the connection.
    strange: CancellationToken,
}

impl Peer for PeerServer {
    async fn api(self, _: context::Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
        if self.purpose != Purpose::Api {
            return Err(ApiError::BadRequest("this connection is not for calls of clients".to_owned()));
        }
        self.tracker.serve(request, 0).await
    }

    async fn forwarded(self, _: context::Context, call: Forwarded) -> Result<ApiReply, ApiError> {
        if self.purpose != Purpose::Forward {
            return Err(ApiError::BadRequest(
                "only nodes pass calls on, on connections of their own".to_owned(),
            ));
        }
        self.tracker.serve(call.request, call.hops).await
    }

    async fn raft(self, _: context::Context, message: Bytes) -> Result<Bytes, String> {
        if matches!(self.purpose, Purpose::Api | Purpose::Forward) {
            return Err("this connection is for the API alone".to_owned());
        }
        let message = RaftMessage::decode(&message).inspect_err(|_| self.strange.cancel())?;
        if message.is_vote() && !self.tracker.may_vote() {
            return Err("this node's disk is new; it does not vote before it has caught up".to_owned());
        }
        message.handle(&self.tracker.inner.raft, &self.tracker.inner.inbox).await
    }
}
