//! The typed client of the tracker's API.

mod reply;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::env::Entropy;
use storage::ids::UserId;
use tokio::time::{Instant, sleep, timeout_at};

use crate::model::{
    Answer, Mutation, NodeId, NodeStatus, OpenSession, Query, Report, ReportAnswer, RequestId, Response,
    SessionId, SessionOpened, Wants,
};
use crate::wire::{ApiReply, ApiRequest, Connection, Greeting, Purpose, connect};

pub use crate::wire::ApiError;

/// A client of a cluster: talks to one of its nodes, goes to the next when that one fails, and
/// repeats a call until it was served or its time is over. Every call can be repeated without harm,
/// so the caller sees an error only when the cluster refuses or cannot be reached.
pub struct Client {
    endpoints: Vec<String>,
    timeout: Duration,
    connection: tokio::sync::Mutex<Option<(usize, Connection)>>,
    next_endpoint: AtomicU64,
    identity: u64,
    sequence: AtomicU64,
    last_trouble: Mutex<Option<String>>,
}

/// Why a call did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The cluster said no.
    #[error(transparent)]
    Api(ApiError),
    /// No node served the call in time.
    #[error(
        "no node of the cluster served the call within {timeout:?} (asked: {endpoints}; last trouble: {trouble}); check --endpoints and that a majority of the nodes runs"
    )]
    Unreachable {
        /// How long was tried.
        timeout: Duration,
        /// Who was asked.
        endpoints: String,
        /// What happened last.
        trouble: String,
    },
    /// The node speaks another protocol than this program.
    #[error("the node answered a {asked} with something else; install the same release on both sides")]
    Confused {
        /// What was asked.
        asked: &'static str,
    },
}

/// How long one node may take to answer a try; longer than the longest wait for work (half a session's
/// time to live) and than an election.
const TRY_TIMEOUT: Duration = Duration::from_secs(4);

/// Pause between the first two tries of a call, and the longest; each is twice the one before. The next node mostly
/// serves at once: the one that was asked gave its leadership away, or ended.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(25));

impl Client {
    /// A client of the nodes at these `HOST:PORT`s; connects when first called. A call is given up
    /// after `timeout`.
    pub fn new(endpoints: Vec<String>, timeout: Duration, entropy: &dyn Entropy) -> Self {
        Self {
            endpoints,
            timeout,
            connection: tokio::sync::Mutex::new(None),
            next_endpoint: AtomicU64::new(0),
            identity: entropy.next_u64(),
            sequence: AtomicU64::new(0),
            last_trouble: Mutex::new(None),
        }
    }

    /// A name for a new write. The same one must be used when the write is repeated by the caller.
    pub fn request_id(&self) -> RequestId {
        RequestId { client: self.identity, sequence: self.sequence.fetch_add(1, Ordering::Relaxed) }
    }

    /// Changes the state. A refusal is an error.
    pub async fn mutate(&self, mutation: Mutation) -> Result<Response, ClientError> {
        self.call(ApiRequest::Mutate(mutation)).await?.mutated()
    }

    /// Reads the state.
    pub async fn query(&self, query: Query) -> Result<Answer, ClientError> {
        self.call(ApiRequest::Query(query)).await?.answer()
    }

    /// Begins a session.
    pub async fn open_session(&self, open: OpenSession) -> Result<SessionOpened, ClientError> {
        self.call(ApiRequest::Mutate(Mutation::OpenSession(open))).await?.opened()
    }

    /// Reports. Reports of a session must come one after the other.
    pub async fn report(&self, report: Report) -> Result<ReportAnswer, ClientError> {
        self.call(ApiRequest::Mutate(Mutation::Report(report))).await?.reported()
    }

    /// Waits at most `timeout` until a report with these wants would bring the session something.
    pub async fn wait_for_work(
        &self,
        session: SessionId,
        wants: Wants,
        timeout: Duration,
    ) -> Result<bool, ClientError> {
        let timeout_ms = timeout.as_millis() as u32;
        self.call(ApiRequest::WaitForWork { session, wants, timeout_ms }).await?.work()
    }

    /// What the node that this client talks to says of itself.
    pub async fn node_status(&self) -> Result<NodeStatus, ClientError> {
        self.call(ApiRequest::NodeStatus).await?.node_status()
    }

    /// Moves leadership. Answers who leads then.
    pub async fn transfer_leader(&self, to: Option<NodeId>) -> Result<NodeId, ClientError> {
        self.call(ApiRequest::TransferLeader { to }).await?.transferred()
    }

    /// Looks up screen names (without `@`), at most [`MAX_NAMES`](crate::server::MAX_NAMES), with the budgets of any
    /// node. Answers those that have an account.
    pub async fn resolve(&self, names: Vec<String>) -> Result<Vec<(String, UserId)>, ClientError> {
        self.call(ApiRequest::ResolveNames(names)).await?.resolved()
    }

    async fn call(&self, request: ApiRequest) -> Result<ApiReply, ClientError> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = RETRY_PAUSE.0;
        loop {
            // A frozen node keeps its connections and answers nothing: no try may use up the call's time.
            let try_until = deadline.min(Instant::now() + TRY_TIMEOUT);
            match timeout_at(try_until, self.try_call(&request, try_until)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(Trouble::Final(error))) => return Err(ClientError::Api(error)),
                Ok(Err(Trouble::Passing(trouble))) => self.note(trouble),
                Err(_) => {
                    self.note("no answer in time".to_owned());
                    self.connection.lock().await.take();
                }
            }
            if Instant::now() + pause >= deadline {
                return Err(self.unreachable());
            }
            sleep(pause).await;
            pause = RETRY_PAUSE.1.min(pause * 2);
        }
    }

    async fn try_call(&self, request: &ApiRequest, deadline: Instant) -> Result<ApiReply, Trouble> {
        let (endpoint, connection) = self.connected().await.map_err(Trouble::Passing)?;
        let mut context = tarpc::context::current();
        context.deadline = deadline.into_std();
        match connection.api(context, request.clone(), 0).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) if error.is_passing() => {
                // The node lives but may be cut off from its leader: the next try asks another one.
                self.leave(endpoint).await;
                Err(Trouble::Passing(format!("{}: {error}", self.endpoints[endpoint])))
            }
            Ok(Err(error)) => Err(Trouble::Final(error)),
            Err(error) => {
                self.leave(endpoint).await;
                Err(Trouble::Passing(format!("{}: {error}", self.endpoints[endpoint])))
            }
        }
    }

    async fn connected(&self) -> Result<(usize, Connection), String> {
        let mut held = self.connection.lock().await;
        if let Some((endpoint, connection)) = held.as_ref().filter(|(_, held)| !held.has_ended()) {
            return Ok((*endpoint, connection.clone()));
        }
        if self.endpoints.is_empty() {
            return Err("no endpoint was given".to_owned());
        }
        let endpoint =
            (self.next_endpoint.fetch_add(1, Ordering::Relaxed) % self.endpoints.len() as u64) as usize;
        let greeting = Greeting::new(Purpose::Api, None, None);
        let connection = connect(&self.endpoints[endpoint], &greeting).await.map_err(|e| e.to_string())?;
        *held = Some((endpoint, connection.clone()));
        Ok((endpoint, connection))
    }

    /// Gives up the connection to an endpoint, unless another call did so already.
    async fn leave(&self, endpoint: usize) {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|(at, _)| *at == endpoint) {
            *held = None;
        }
    }

    fn note(&self, trouble: String) {
        *self.last_trouble.lock().unwrap_or_else(|e| e.into_inner()) = Some(trouble);
    }

    fn unreachable(&self) -> ClientError {
        let trouble = self.last_trouble.lock().unwrap_or_else(|e| e.into_inner()).clone();
        ClientError::Unreachable {
            timeout: self.timeout,
            endpoints: self.endpoints.join(", "),
            trouble: trouble.unwrap_or_else(|| "no answer".to_owned()),
        }
    }
}

/// What went wrong in one try.
enum Trouble {
    Final(ApiError),
    Passing(String),
}
