//! The client of the tracker's API.

mod reply;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use storage::env::Entropy;
use tarpc::client::RpcError;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use crate::model::RequestId;
use crate::tracker::{Called, TrackerApi};
use crate::wire::{ApiReply, ApiRequest, CallError, Connection, Dial, Greeting, Tcp};

pub use crate::wire::bounds::MAX_NAMES;
pub use crate::wire::{ApiError, MemberRequest};

/// A client of a cluster. It talks to one node, moves to the next when that one fails, and retries a call
/// until it is served or its timeout expires. Every call is idempotent, so the caller sees an error only when
/// the cluster refuses the call or cannot be reached.
pub struct Client {
    dial: Arc<dyn Dial>,
    endpoints: Vec<String>,
    timeout: Duration,
    connection: tokio::sync::Mutex<Option<(usize, Connection)>>,
    next_endpoint: AtomicU64,
    names: RequestNames,
}

/// Generates request ids for the writes of one process.
pub struct RequestNames {
    client: u64,
    sequence: AtomicU64,
}

impl RequestNames {
    /// Starts a sequence of request ids that no other process uses.
    pub fn new(entropy: &dyn Entropy) -> Self {
        Self { client: entropy.next_u64(), sequence: AtomicU64::new(0) }
    }

    /// A new name.
    pub fn next(&self) -> RequestId {
        RequestId { client: self.client, sequence: self.sequence.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The cluster refused the call.
    #[error(transparent)]
    Api(ApiError),
    /// No node served the call in time.
    #[error(
        "no node of the cluster served the call within {timeout:?} (asked: {endpoints}; trouble: {trouble}); check --endpoints and that a majority of the nodes runs"
    )]
    Unreachable {
        /// The timeout of the call.
        timeout: Duration,
        /// Who was asked.
        endpoints: String,
        /// The last error at each endpoint.
        trouble: String,
    },
    /// The node speaks another protocol than this program.
    #[error("the node answered a {asked} with something else; install the same release on both sides")]
    UnexpectedResponse {
        /// What was asked.
        asked: &'static str,
    },
}

/// How long one attempt may take. It is longer than the longest wait for work (half a session's time to live)
/// and than an election.
const TRY_TIMEOUT: Duration = Duration::from_secs(4);

/// Reported for a node that did not answer.
const NO_ANSWER: &str = "no answer in time";

/// Shortest and longest pause between two attempts of a call; each pause is twice the one before. A retry usually
/// succeeds at once, because the first node had just given up the leadership or stopped.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

impl Client {
    /// A client of the nodes at these `HOST:PORT`s. It connects on the first call, and gives a call up after
    /// `timeout`.
    pub fn new(endpoints: Vec<String>, timeout: Duration, entropy: &dyn Entropy) -> Self {
        Self::dialling(Arc::new(Tcp), endpoints, timeout, entropy)
    }

    /// A client that connects by `dial`.
    pub fn dialling(
        dial: Arc<dyn Dial>,
        endpoints: Vec<String>,
        timeout: Duration,
        entropy: &dyn Entropy,
    ) -> Self {
        Self {
            dial,
            endpoints,
            timeout,
            connection: tokio::sync::Mutex::new(None),
            next_endpoint: AtomicU64::new(0),
            names: RequestNames::new(entropy),
        }
    }

    async fn repeat(&self, request: ApiRequest) -> Result<ApiReply, ClientError> {
        let span = tracing::debug_span!("call", request = request.request_id().map(tracing::field::display));
        self.repeat_within_span(request).instrument(span).await
    }

    async fn repeat_within_span(&self, request: ApiRequest) -> Result<ApiReply, ClientError> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = RETRY_PAUSE.0;
        let mut troubles = EndpointErrors::default();
        loop {
            // A frozen node keeps its connections open and never answers, so one attempt must not use up the
            // whole timeout.
            let try_until = deadline.min(Instant::now() + TRY_TIMEOUT);
            match self.try_call(&request, try_until).await {
                Ok(reply) => {
                    tracing::debug!("answered");
                    return Ok(reply);
                }
                Err(Failure::Final(error)) => return Err(ClientError::Api(error)),
                Err(Failure::Passing(endpoint, trouble)) => {
                    tracing::debug!(endpoint = self.endpoints[endpoint], "retrying: {trouble}");
                    troubles.note(endpoint, trouble);
                }
                Err(Failure::Silence(endpoint)) if try_until < deadline => {
                    troubles.note(endpoint, NO_ANSWER.to_owned());
                }
                Err(Failure::Silence(endpoint)) => troubles.note_cut_short(endpoint),
            }
            if Instant::now() + pause >= deadline {
                return Err(self.unreachable(&troubles));
            }
            sleep(pause).await;
            pause = RETRY_PAUSE.1.min(pause * 2);
        }
    }

    async fn try_call(&self, request: &ApiRequest, until: Instant) -> Result<ApiReply, Failure> {
        let (endpoint, connection) = self.connected(until).await?;
        let within = until.saturating_duration_since(Instant::now());
        let trouble = match timeout_at(until, connection.api(within, request.clone())).await {
            Ok(Ok(Ok(reply))) => return Ok(reply),
            Ok(Ok(Err(error))) if !error.is_passing() => return Err(Failure::Final(error)),
            // The node is alive but may be cut off from its leader: the next attempt goes to another one.
            Ok(Ok(Err(error))) => Failure::Passing(endpoint, error.to_string()),
            Ok(Err(CallError::Rpc(RpcError::DeadlineExceeded))) | Err(_) => Failure::Silence(endpoint),
            Ok(Err(error)) => Failure::Passing(endpoint, error.to_string()),
        };
        self.leave(endpoint).await;
        Err(trouble)
    }

    async fn connected(&self, until: Instant) -> Result<(usize, Connection), Failure> {
        let mut held = self.connection.lock().await;
        if let Some((endpoint, connection)) = held.as_ref().filter(|(_, held)| !held.has_ended()) {
            return Ok((*endpoint, connection.clone()));
        }
        let turn = self.next_endpoint.fetch_add(1, Ordering::Relaxed);
        let endpoint = (turn % self.endpoints.len().max(1) as u64) as usize;
        let Some(address) = self.endpoints.get(endpoint) else {
            return Err(Failure::Passing(endpoint, "no endpoint was given".to_owned()));
        };
        let greeting = Greeting::of_client();
        let connection = match timeout_at(until, self.dial.dial(address, &greeting)).await {
            Ok(connected) => connected.map_err(|error| Failure::Passing(endpoint, error.to_string()))?,
            Err(_) => return Err(Failure::Silence(endpoint)),
        };
        *held = Some((endpoint, connection.clone()));
        Ok((endpoint, connection))
    }

    /// Drops the connection to an endpoint, unless another call has done so already.
    async fn leave(&self, endpoint: usize) {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|(at, _)| *at == endpoint) {
            *held = None;
        }
    }

    fn unreachable(&self, troubles: &EndpointErrors) -> ClientError {
        ClientError::Unreachable {
            timeout: self.timeout,
            endpoints: self.endpoints.join(", "),
            trouble: troubles.told(&self.endpoints),
        }
    }
}

impl TrackerApi for Client {
    fn request_id(&self) -> RequestId {
        self.names.next()
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        self.repeat(request).boxed()
    }
}

/// Why one attempt failed, with the index of the endpoint.
enum Failure {
    Final(ApiError),
    Passing(usize, String),
    /// The attempt timed out.
    Silence(usize),
}

/// The last error of a call at each endpoint.
#[derive(Default)]
struct EndpointErrors(BTreeMap<usize, String>);

impl EndpointErrors {
    fn note(&mut self, endpoint: usize, trouble: String) {
        self.0.insert(endpoint, trouble);
    }

    /// Records an attempt that the end of the call cut short. It never replaces an earlier error, which says
    /// more.
    fn note_cut_short(&mut self, endpoint: usize) {
        self.0.entry(endpoint).or_insert_with(|| NO_ANSWER.to_owned());
    }

    /// All errors, each with its endpoint.
    fn told(&self, endpoints: &[String]) -> String {
        let told = self.0.iter().map(|(endpoint, trouble)| match endpoints.get(*endpoint) {
            Some(address) if !trouble.contains(address) => format!("{address}: {trouble}"),
            _ => trouble.clone(),
        });
        told.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use storage::env::SystemEntropy;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_try_that_is_cut_short_hides_nothing_that_went_wrong_before() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            // The first connection gets an error, the second one no answer at all.
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"\x7f\xff\xff\xff not one of us\r\n\r\n").await.unwrap();
            let (mut silent, _) = listener.accept().await.unwrap();
            let mut rest = Vec::new();
            silent.read_to_end(&mut rest).await
        });
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let endpoints = vec![address.clone(), closed.clone()];
        let client = Client::new(endpoints, Duration::from_millis(500), &SystemEntropy::new());
        let error = client.node_status().await.unwrap_err().to_string();
        server.abort();
        assert!(error.contains("no twm node"), "{error}");
        assert!(error.contains(&closed) && error.contains("refused"), "{error}");
        assert!(!error.contains(NO_ANSWER), "{error}");
    }

    #[tokio::test]
    async fn silence_is_told_with_its_endpoint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client = Client::new(vec![address.clone()], Duration::from_millis(50), &SystemEntropy::new());
        let error = client.node_status().await.unwrap_err().to_string();
        assert!(error.contains(&format!("trouble: {address}: {NO_ANSWER}")), "{error}");
    }
}
