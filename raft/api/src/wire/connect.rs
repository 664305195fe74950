//! Connecting to a peer and calling it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use storage::net::trust::{Role, Trust, explain};
use tarpc::client::NewClient;
use tarpc::context::Context;
use tarpc::serde_transport;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::codec::{MAX_FRAME, Postcard, framed};
use super::greeting::{Greeting, Refused, Welcome, greet};
use super::joining::{JoinAnswer, JoinRequest};
use super::request::{ApiRequest, Forwarded};
use super::service::{ApiError, ApiReply, CallError, PeerClient};

/// Timeout for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The future of a call to a peer.
pub type Called<'a, T> = BoxFuture<'a, Result<T, CallError>>;

/// Establishes connections: [`Tcp`] in a node, a model in simulations.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `HOST:PORT` and greets.
    fn dial<'a>(
        &'a self,
        address: &'a str,
        greeting: &'a Greeting,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>>;
}

/// The calls of one connection. They fail when it breaks; it does not reconnect.
pub trait Calls: Send + Sync {
    /// Calls the tracker's API; `within` is the timeout.
    fn api(&self, within: Duration, request: ApiRequest) -> Called<'_, Result<ApiReply, ApiError>>;

    /// Forwards a call of the tracker's API. The connection must be for [`Purpose::Forward`](super::Purpose).
    fn forwarded(&self, within: Duration, call: Forwarded) -> Called<'_, Result<ApiReply, ApiError>>;

    /// Sends a Raft message.
    fn raft(&self, within: Duration, message: Bytes) -> Called<'_, Result<Bytes, String>>;

    /// Calls a peer about joining a cluster.
    fn join(&self, within: Duration, request: JoinRequest) -> Called<'_, JoinAnswer>;

    /// Whether the other side has closed the connection. A connection that was cut silently is noticed only by a
    /// call.
    fn has_ended(&self) -> bool;
}

/// An established connection. Clones share it.
#[derive(Clone)]
pub struct Connection(Arc<dyn Calls>);

impl Connection {
    /// A connection that makes these calls.
    pub fn over(calls: Arc<dyn Calls>) -> Self {
        Self(calls)
    }
}

impl std::ops::Deref for Connection {
    type Target = dyn Calls;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

/// Why a connection could not be established.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No connection.
    #[error("{address} cannot be reached: {source}")]
    Unreachable {
        /// The peer.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The peer refused the connection.
    #[error("{address} refused: {refused}")]
    Refused {
        /// The peer.
        address: String,
        /// What it said.
        refused: Refused,
    },
    /// The peer's certificate is not trusted, or belongs to another node.
    #[error("{address} is not trusted: {why}")]
    Untrusted {
        /// The peer.
        address: String,
        /// What it shows.
        why: String,
    },
}

/// TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        greeting: &'a Greeting,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        connect(address, greeting).boxed()
    }
}

/// TLS over TCP: both sides show certificates of the cluster's authority, and the peer has to be the node that the
/// greeting names.
#[derive(Debug, Clone)]
pub struct Tls(pub Trust);

impl Dial for Tls {
    fn dial<'a>(
        &'a self,
        address: &'a str,
        greeting: &'a Greeting,
    ) -> BoxFuture<'a, Result<Connection, ConnectError>> {
        connect_trusting(&self.0, address, greeting).boxed()
    }
}

async fn connect(address: &str, greeting: &Greeting) -> Result<Connection, ConnectError> {
    let stream = tcp(address).await?;
    greeted(address, greet(stream, greeting).await)
}

async fn connect_trusting(
    trust: &Trust,
    address: &str,
    greeting: &Greeting,
) -> Result<Connection, ConnectError> {
    let untrusted = |why: String| ConnectError::Untrusted { address: address.to_owned(), why };
    let (stream, there) = trust.connect(tcp(address).await?).await.map_err(|e| untrusted(e.to_string()))?;
    let identity = there.identity;
    let Role::Node(node) = identity.role else {
        return Err(untrusted(format!("it shows the certificate of {identity}, which is no node")));
    };
    let expected = greeting.to.map(|to| to.node);
    if expected.is_some_and(|expected| expected != node) {
        let expected = expected.unwrap_or_default();
        return Err(untrusted(format!("it shows the certificate of node {node}, not of node {expected}")));
    }
    let own = trust.own().identity.cluster;
    if identity.cluster != own {
        return Err(untrusted(format!("it is of cluster {:?}, not of {own:?}", identity.cluster)));
    }
    // Whether the peer trusts this side is known only from its first message.
    greeted(address, greet(stream, greeting).await.map_err(|e| io::Error::new(e.kind(), explain(&e))))
}

async fn tcp(address: &str) -> Result<TcpStream, ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { address: address.to_owned(), source };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| unreachable(io::Error::new(io::ErrorKind::TimedOut, "no answer within 2 s")))?
        .map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    Ok(stream)
}

fn greeted<S>(address: &str, answer: io::Result<(S, Welcome)>) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match answer {
        Ok((stream, Welcome::Welcome { version, .. })) => Ok(connect_over(stream, version)),
        Ok((_, Welcome::Refused(refused))) => {
            Err(ConnectError::Refused { address: address.to_owned(), refused })
        }
        Err(source) => Err(ConnectError::Unreachable { address: address.to_owned(), source }),
    }
}

/// Calls over a greeted stream, in the agreed version of the protocol.
pub fn connect_over<S>(stream: S, version: u32) -> Connection
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = serde_transport::new(framed(stream, MAX_FRAME), Postcard);
    let mut config = tarpc::client::Config::default();
    // Callers bound the number of calls in flight; the channel must not add a queue of its own.
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
    Connection::over(Arc::new(StreamCalls { client, version, ended }))
}

struct StreamCalls {
    client: PeerClient,
    version: u32,
    ended: Arc<AtomicBool>,
}

fn context(within: Duration) -> Context {
    let mut context = tarpc::context::current();
    context.deadline = (Instant::now() + within).into_std();
    context
}

impl Calls for StreamCalls {
    fn api(&self, within: Duration, request: ApiRequest) -> Called<'_, Result<ApiReply, ApiError>> {
        match request.in_version(self.version) {
            Ok(request) => self.client.call_api(context(within), request).boxed(),
            Err(error) => ready(Ok(Err(error))).boxed(),
        }
    }

    fn forwarded(&self, within: Duration, call: Forwarded) -> Called<'_, Result<ApiReply, ApiError>> {
        match call.in_version(self.version) {
            Ok(call) => self.client.call_forwarded(context(within), call).boxed(),
            Err(error) => ready(Ok(Err(error))).boxed(),
        }
    }

    fn raft(&self, within: Duration, message: Bytes) -> Called<'_, Result<Bytes, String>> {
        self.client.call_raft(context(within), message).boxed()
    }

    fn join(&self, within: Duration, request: JoinRequest) -> Called<'_, JoinAnswer> {
        self.client.call_join(context(within), request).boxed()
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use futures::SinkExt;
    use tokio::io::duplex;

    use super::*;
    use crate::model::{CrawlId, RequestId, WIRE_VERSIONS, Write};
    use crate::wire::service::{PeerRequest, PeerResponse};

    const SOON: Duration = Duration::from_secs(10);

    /// The result of the first call on a connection when the peer sends this.
    async fn answered<T, E>(
        response: PeerResponse,
        call: impl AsyncFnOnce(&Connection) -> Result<Result<T, E>, CallError>,
    ) -> Option<String> {
        let (ours, theirs) = duplex(4096);
        let mut theirs = framed(theirs, MAX_FRAME);
        let connection = connect_over(ours, WIRE_VERSIONS.1);
        let answer = tarpc::Response { request_id: 0, message: Ok(response) };
        let answer = postcard::to_stdvec(&answer).unwrap();
        let (said, sent) = tokio::join!(call(&connection), async {
            // Wait for the request: a response without one is dropped.
            let _request = futures::StreamExt::next(&mut theirs).await;
            theirs.send(Bytes::from(answer)).await
        });
        sent.unwrap();
        said.err().map(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_peer_that_answers_another_call_gets_an_error_and_no_panic() {
        let api = async |to: &Connection| to.api(SOON, ApiRequest::NodeStatus).await;
        let raft = async |to: &Connection| to.raft(SOON, Bytes::new()).await;
        let of_api = || PeerResponse::Api(Ok(ApiReply::Work(true)));
        let of_raft = || PeerResponse::Raft(Ok(Bytes::new()));
        assert_eq!(answered(of_api(), api).await, None);
        assert_eq!(answered(of_raft(), raft).await, None);
        for said in [answered(of_raft(), api).await, answered(of_api(), raft).await] {
            assert!(said.as_ref().is_some_and(|said| said.contains("another call")), "{said:?}");
        }
    }

    /// What is sent to a peer that speaks this version.
    async fn sent(version: u32, request: ApiRequest) -> Result<ApiRequest, String> {
        let (ours, theirs) = duplex(4096);
        let mut theirs = serde_transport::new(framed(theirs, MAX_FRAME), Postcard);
        let connection = connect_over(ours, version);
        let called = tokio::spawn(async move { connection.api(SOON, request).await });
        tokio::select! {
            biased;
            answer = called => Err(answer.unwrap().unwrap().unwrap_err().to_string()),
            message = futures::StreamExt::next(&mut theirs) => {
                let message: tarpc::ClientMessage<PeerRequest> = message.unwrap().unwrap();
                let _: &serde_transport::Transport<_, _, tarpc::Response<PeerResponse>, _> = &theirs;
                match message {
                    tarpc::ClientMessage::Request(tarpc::Request { message: PeerRequest::Api { request }, .. }) => {
                        Ok(request)
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn a_peer_of_an_older_release_is_sent_what_it_knows() {
        let (request, write) =
            (RequestId { client: 1, sequence: 2 }, Write::PauseCrawl { crawl: CrawlId(3) });
        let once = ApiRequest::Once { request, write: write.clone() };
        assert_eq!(sent(5, once.clone()).await, Ok(once.clone()));
        assert_eq!(sent(4, once).await, Ok(ApiRequest::Write(write)));
        assert_eq!(sent(5, ApiRequest::CheckReplicas).await, Ok(ApiRequest::CheckReplicas));
        let refused = sent(4, ApiRequest::CheckReplicas).await.unwrap_err();
        assert!(refused.contains("upgrade all nodes first"), "{refused}");
    }
}
