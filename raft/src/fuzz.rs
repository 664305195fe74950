//! Entry points for the fuzz targets in `tests/fuzz`; built only for them.
//!
//! Each function treats its bytes as a node treats those of a peer, a client or a log, and panics if an
//! assertion fails.

use std::fmt::Debug;
use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tarpc::context;
use tarpc::server::Channel;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, Sink, duplex, join, sink};

use crate::model::{CLUSTER_VERSION, ClusterId, MemberId, Mutation, WIRE_VERSIONS};
use crate::server::check_limits;
use crate::wire::{
    ByteBudget, Charging, Connection, Forwarded, Greeting, JoinAnswer, JoinRequest, Listener, Peer, Purpose,
    calls_on, connect_over, framed, receive_greeting, send_welcome,
};

pub use crate::consensus::fuzz::log_record;
pub use crate::wire::{ApiError, ApiReply, ApiRequest, NodeRequest};

/// The cluster of the called node.
const CLUSTER: ClusterId = ClusterId(7);

/// Timeout of a call.
const PATIENCE: Duration = Duration::from_secs(10);

/// Memory budget for the calls of a connection, bytes.
const ROOM: usize = 32 << 20;

/// Capacity of the pipe between both ends, bytes.
const PIPE: usize = 1 << 20;

/// A whole connection, starting with its greeting.
pub async fn connection(bytes: &[u8]) {
    let Ok((stream, greeting)) = receive_greeting(stream_of(bytes)).await else { return };
    again(&greeting);
    let listener = Listener { cluster: Some(CLUSTER), member: MemberId::from(1) };
    let Ok(stream) = send_welcome(stream, &greeting.answer(&listener)).await else { return };
    answer(stream, greeting.purpose).await;
}

/// A connection after the greeting.
pub async fn calls(bytes: &[u8]) {
    answer(stream_of(bytes), Purpose::Api).await;
}

/// One message after the greeting.
pub async fn call(bytes: &[u8]) {
    let length = (bytes.len() as u32).to_be_bytes();
    calls(&[&length[..], bytes].concat()).await;
}

/// The answers of a called peer.
pub async fn answers(bytes: &[u8]) {
    let client = connect_over(stream_of(bytes), WIRE_VERSIONS.1);
    let request = ApiRequest::NodeStatus;
    // An answer or an error always arrives, because the stream ends.
    if let Ok(Ok(reply)) = client.api(PATIENCE, request).await {
        again(&reply);
    }
}

/// Whether a node would propose a change to the cluster.
pub fn passes(mutation: &Mutation) -> bool {
    check_limits(mutation, CLUSTER_VERSION).is_ok()
}

/// Connections with valid calls, starting with the greeting.
pub async fn good_connections(requests: Vec<ApiRequest>) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let api = requests.into_iter().map(|request| (Purpose::Api, Some(request), Bytes::new()));
    let messages = crate::consensus::fuzz::good_messages();
    let raft = messages.into_iter().map(|message| (Purpose::Control, None, message));
    for (purpose, request, message) in api.chain(raft) {
        let (ours, mut theirs) = duplex(PIPE);
        let greeting = match purpose {
            Purpose::Api => Greeting::of_client(),
            _ => Greeting::of_member(purpose, CLUSTER, MemberId::from(2), MemberId::from(1)),
        };
        let mut frames = framed(ours, PIPE);
        let greeting = postcard::to_stdvec(&greeting).unwrap_or_default();
        let _sent = frames.send(Bytes::from(greeting)).await;
        let client: Connection = connect_over(frames.into_inner(), WIRE_VERSIONS.1);
        let talk = async {
            match request {
                Some(request) => drop(client.api(PATIENCE, request).await),
                None => drop(client.raft(PATIENCE, message).await),
            }
        };
        let mut bytes = Vec::new();
        let listen = async {
            let mut piece = vec![0; 64 * 1024];
            // The greeting and the call.
            while frames_in(&bytes) < 2 {
                match theirs.read(&mut piece).await {
                    Ok(read @ 1..) => bytes.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
        };
        tokio::select! {
            () = talk => {}
            () = listen => {}
        }
        all.push(bytes);
    }
    all
}

fn frames_in(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let Some(behind) = rest.get(u32::from_be_bytes(*length) as usize..) else { break };
        (bytes, frames) = (behind, frames + 1);
    }
    frames
}

/// A stream that yields these bytes and ends; what is written is discarded.
fn stream_of(bytes: &[u8]) -> Join<Cursor<Vec<u8>>, Sink> {
    join(Cursor::new(bytes.to_vec()), sink())
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, purpose: Purpose) {
    let budget = ByteBudget::of_host(ROOM, ByteBudget::of_all(ROOM));
    let mut calls = Box::pin(calls_on(stream, purpose, budget).execute(Charging(Callee.serve())));
    while let Some(call) = calls.next().await {
        call.await;
    }
}

/// Accepts calls, and checks that forwarding leaves each unchanged.
#[derive(Clone)]
struct Callee;

impl Peer for Callee {
    async fn api(self, _: context::Context, request: ApiRequest) -> Result<ApiReply, ApiError> {
        again(&request);
        Ok(ApiReply::Work(true))
    }

    async fn forwarded(self, _: context::Context, call: Forwarded) -> Result<ApiReply, ApiError> {
        again(&call);
        Ok(ApiReply::Work(true))
    }

    async fn join(self, _: context::Context, request: JoinRequest) -> JoinAnswer {
        again(&request);
        JoinAnswer::Done
    }

    async fn raft(self, _: context::Context, message: Bytes) -> Result<Bytes, String> {
        crate::consensus::fuzz::message(&message);
        Ok(message)
    }
}

/// Decoding, encoding and decoding again gives the same value.
fn again<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).unwrap_or_default();
    assert_eq!(postcard::from_bytes::<T>(&bytes).as_ref(), Ok(value));
}
