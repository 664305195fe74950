//! Connecting to a peer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tarpc::client::NewClient;
use tarpc::context::Context;
use tarpc::serde_transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::codec::{MAX_FRAME, Postcard, framed};
use super::greeting::{Greeting, Welcome, greet};
use super::request::{ApiRequest, Forwarded};
use super::service::{ApiError, ApiReply, CallError, PeerClient};

/// How long establishing a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that was greeted. Calls fail when it breaks; it does not reconnect by itself. Clones share it.
#[derive(Clone)]
pub struct Connection {
    client: PeerClient,
    ended: Arc<AtomicBool>,
}

impl Connection {
    /// Whether the other side has closed it. One that was cut off without a word shows that only by a call.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Calls the tracker's API.
    pub async fn api(
        &self,
        context: Context,
        request: ApiRequest,
    ) -> Result<Result<ApiReply, ApiError>, CallError> {
        self.client.call_api(context, request).await
    }

    /// Passes a call of the tracker's API on. The connection must be for [`Purpose::Forward`](super::Purpose).
    pub async fn forwarded(
        &self,
        context: Context,
        call: Forwarded,
    ) -> Result<Result<ApiReply, ApiError>, CallError> {
        self.client.call_forwarded(context, call).await
    }

    /// Sends a Raft message.
    pub async fn raft(&self, context: Context, message: Bytes) -> Result<Result<Bytes, String>, CallError> {
        self.client.call_raft(context, message).await
    }
}

/// Why a peer cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// The peer.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The peer does not want to talk.
    #[error("{address} refused: {reason}")]
    Refused {
        /// The peer.
        address: String,
        /// What it said.
        reason: String,
    },
}

/// Connects and greets.
pub async fn connect(address: &str, greeting: &Greeting) -> Result<Connection, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| unreachable(io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s")))?
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let (stream, welcome) = greet(stream, greeting).await.map_err(unreachable)?;
    if let Welcome::Refused(reason) = welcome {
        return Err(ConnectError::Refused { address: address.to_owned(), reason });
    }
    Ok(connect_over(stream))
}

/// Calls over a stream that was greeted.
pub fn connect_over<S>(stream: S) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = serde_transport::new(framed(stream, MAX_FRAME), Postcard);
    let mut config = tarpc::client::Config::default();
    // Callers bound what they have under way; the channel must not add a queue of its own.
    config.pending_request_buffer = 4096;
    config.max_in_flight_requests = 4096;
    let NewClient { client, dispatch } = PeerClient::new(config, transport);
    let ended = Arc::new(AtomicBool::new(false));
    tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            if let Err(error) = dispatch.await {
                tracing::debug!(%error, "a connection broke");
            }
            ended.store(true, Ordering::Release);
        }
    });
    Connection { client, ended }
}

#[cfg(test)]
mod tests {
    use futures::SinkExt;
    use tokio::io::duplex;

    use super::*;
    use crate::wire::service::PeerResponse;

    /// Says what the first call on a connection is answered when the peer sends this.
    async fn answered<T, E>(
        response: PeerResponse,
        call: impl AsyncFnOnce(&Connection) -> Result<Result<T, E>, CallError>,
    ) -> Option<String> {
        let (ours, theirs) = duplex(4096);
        let mut theirs = framed(theirs, MAX_FRAME);
        let connection = connect_over(ours);
        let answer = tarpc::Response { request_id: 0, message: Ok(response) };
        let answer = postcard::to_stdvec(&answer).unwrap();
        let (said, sent) = tokio::join!(call(&connection), async {
            // The request has to be there first: an answer to nothing is dropped.
            let _request = futures::StreamExt::next(&mut theirs).await;
            theirs.send(Bytes::from(answer)).await
        });
        sent.unwrap();
        said.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_peer_that_answers_another_call_gets_an_error_and_no_panic() {
        let api = async |to: &Connection| to.api(tarpc::context::current(), ApiRequest::NodeStatus).await;
        let raft = async |to: &Connection| to.raft(tarpc::context::current(), Bytes::new()).await;
        let of_api = || PeerResponse::Api(Ok(ApiReply::Work(true)));
        let of_raft = || PeerResponse::Raft(Ok(Bytes::new()));
        assert_eq!(answered(of_api(), api).await, None);
        assert_eq!(answered(of_raft(), raft).await, None);
        for said in [answered(of_raft(), api).await, answered(of_api(), raft).await] {
            assert!(said.as_ref().is_some_and(|said| said.contains("another call")), "{said:?}");
        }
    }
}
