//! The port that peers and clients connect to.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use tarpc::server::{BaseChannel, Channel};
use tarpc::{context, serde_transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::consensus::RaftMessage;
use crate::wire::{
    ApiError, ApiReply, ApiRequest, MAX_FRAME, Peer, Postcard, Purpose, Welcome, framed, receive_greeting,
    send_welcome,
};

use super::tracker::Tracker;

/// Connections at most. Further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 4096;

/// Calls under way on one connection at most.
const MAX_CALLS: usize = 4096;

/// Accepts connections until the tracker stops; then all of them end.
pub(super) async fn run(tracker: Tracker, listener: TcpListener) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let accept = async {
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, from)) => {
                    let tracker = tracker.clone();
                    connections.spawn(async move {
                        if let Err(error) = serve(tracker, stream).await {
                            tracing::debug!(%from, %error, "connection ended");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others must close theirs first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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

async fn serve(tracker: Tracker, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (stream, greeting) = receive_greeting(stream).await?;
    let options = &tracker.inner.options;
    if let Some(reason) = greeting.refusal(&options.cluster, options.id) {
        tracing::warn!(%reason, "refused a connection");
        send_welcome(stream, &Welcome::Refused(reason)).await?;
        return Ok(());
    }
    let stream = send_welcome(stream, &Welcome::Welcome).await?;
    let transport = serde_transport::new(framed(stream, MAX_FRAME), Postcard);
    let server = PeerServer { tracker, purpose: greeting.purpose };
    let channel = BaseChannel::with_defaults(transport);
    let mut calls = JoinSet::new();
    let mut requests = Box::pin(channel.execute(server.serve()));
    while let Some(call) = requests.next().await {
        calls.spawn(call);
        while calls.try_join_next().is_some() {}
        if calls.len() >= MAX_CALLS {
            calls.join_next().await;
        }
    }
    Ok(())
}

#[derive(Clone)]
struct PeerServer {
    tracker: Tracker,
    purpose: Purpose,
}

impl Peer for PeerServer {
    async fn api(self, _: context::Context, request: ApiRequest, hops: u8) -> Result<ApiReply, ApiError> {
        if self.purpose != Purpose::Api {
            return Err(ApiError::BadRequest("this connection is for Raft alone".to_owned()));
        }
        self.tracker.serve(request, hops).await
    }

    async fn raft(self, _: context::Context, message: Bytes) -> Result<Bytes, String> {
        if self.purpose == Purpose::Api {
            return Err("this connection is for the API alone".to_owned());
        }
        let message = RaftMessage::decode(&message)?;
        if message.is_vote() && !self.tracker.may_vote() {
            return Err("this node's disk is new; it does not vote before it has caught up".to_owned());
        }
        message.handle(&self.tracker.inner.raft, &self.tracker.inner.inbox).await
    }
}
