//! The tracker's API on this node: served here if it leads, otherwise forwarded to the leader.

use std::time::Duration;
use storage::dataset::SourceName;

use api::{Called, TrackerApi};
use futures::FutureExt;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::ReadPolicy;
use storage::env::Entropy;
use storage::planted::{Bug, planted};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use crate::client::{ClientError, RequestNames};
use crate::consensus::PackedCommand;
use crate::model::{Command, Mutation, NodeId, RequestId, Response, SessionId};
use crate::state::Demand;
use crate::state::shares::Moment;
use crate::wire::{ApiError, ApiReply, ApiRequest, NodeRequest};

use super::limits;
use super::tracker::Tracker;

/// How long this node's own calls are retried.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// Most times that a call is forwarded: to the leader, or to the one that has just taken over from it.
const MAX_HOPS: u8 = 2;

/// Most proposals in flight. Further ones wait for their turn.
const MAX_PROPOSALS: usize = 1024;

/// The proposals in flight, and the request ids of this process.
pub(super) struct Proposals {
    places: Semaphore,
    names: RequestNames,
    /// Identifies this process in [`Moment`]s.
    process: u64,
}

impl Proposals {
    /// With request ids that no other process has.
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let (names, process) = (RequestNames::new(entropy), entropy.next_u64());
        Self { places: Semaphore::new(MAX_PROPOSALS), names, process }
    }
}

/// Why a call that only the leader can serve was not served here.
pub(super) enum NotDone {
    /// This node is not the leader.
    NotLeader,
    /// This node is the leader, and the call failed.
    Failed(ApiError),
}

/// The request id of a command as a field of spans and events; absent if the command has none.
fn request_field(mutation: &Mutation) -> Option<tracing::field::DisplayValue<RequestId>> {
    mutation.request_id().map(tracing::field::display)
}

impl TrackerApi for Tracker {
    fn request_id(&self) -> RequestId {
        self.inner.proposals.names.next()
    }

    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply> {
        self.repeat(request).boxed()
    }
}

impl Tracker {
    /// Retries a call until it is served or its timeout expires.
    async fn repeat(&self, request: ApiRequest) -> Result<ApiReply, ClientError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut trouble = "no answer".to_owned();
        while Instant::now() < deadline {
            match timeout_at(deadline, self.serve(request.clone(), 0)).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(error)) if error.is_passing() => trouble = error.to_string(),
                Ok(Err(error)) => return Err(ClientError::Api(error)),
                Err(_) => break,
            }
            sleep(RETRY_PAUSE).await;
        }
        let (membership, _) = self.membership();
        let endpoints =
            membership.nodes().map(|(_, member)| member.address.clone()).collect::<Vec<_>>().join(", ");
        Err(ClientError::Unreachable { timeout: CALL_TIMEOUT, endpoints, trouble })
    }

    /// Serves a call once, here or at the leader.
    pub(super) async fn serve(&self, request: ApiRequest, hops: u8) -> Result<ApiReply, ApiError> {
        match request {
            ApiRequest::NodeStatus => return Ok(ApiReply::NodeStatus(Box::new(self.status()))),
            ApiRequest::ResolveNames(names) => return self.resolve(SourceName::default(), names).await,
            ApiRequest::ResolveNamesOf { source, names } => return self.resolve(source, names).await,
            ApiRequest::Sources { check } => return self.sources(check).await,
            ApiRequest::Node { request: NodeRequest::Digest { index }, .. } => {
                return Ok(ApiReply::Digest(self.inner.replica.digest_at(index)));
            }
            _ => {}
        }
        if self.leads() {
            match self.serve_as_leader(&request).await {
                Ok(reply) => return Ok(reply),
                Err(NotDone::Failed(error)) => return Err(error),
                Err(NotDone::NotLeader) => {}
            }
        }
        if hops >= MAX_HOPS {
            return Err(ApiError::Unavailable("the leadership is moving".to_owned()));
        }
        self.forward(request, hops + 1).await
    }

    async fn serve_as_leader(&self, request: &ApiRequest) -> Result<ApiReply, NotDone> {
        match request {
            ApiRequest::Write(write) => self.change(Mutation::from(write.clone())).await,
            ApiRequest::Once { request, write } => {
                let once = Mutation::Once { request: *request, write: write.clone() };
                // Below this version, some members' programs do not know it. Other writes have ids of their own.
                let is_known = self.inner.replica.state().version() >= once.since_version();
                let once = Some(once).filter(|_| is_known && write.needs_request_id());
                self.change(once.unwrap_or_else(|| Mutation::from(write.clone()))).await
            }
            ApiRequest::Query(query) => {
                self.confirm_leadership(ReadPolicy::ReadIndex).await?;
                self.answer(query)
                    .await
                    .map(|answer| ApiReply::Answer(Box::new(answer)))
                    .map_err(NotDone::Failed)
            }
            ApiRequest::Node { node, request } => self.serve_node(*node, request).await,
            ApiRequest::TransferLeader { to } => {
                self.give_leadership(*to).await.map(ApiReply::Transferred).map_err(NotDone::Failed)
            }
            ApiRequest::Members(request) => {
                self.change_members(request).await.map(|()| ApiReply::Done).map_err(NotDone::Failed)
            }
            ApiRequest::CheckReplicas => self.check_replicas().await.map(ApiReply::Checked),
            // Served by whichever node is called.
            ApiRequest::NodeStatus
            | ApiRequest::ResolveNames(_)
            | ApiRequest::ResolveNamesOf { .. }
            | ApiRequest::Sources { .. } => Err(NotDone::NotLeader),
        }
    }

    /// Makes a change that an operator requests.
    async fn change(&self, mutation: Mutation) -> Result<ApiReply, NotDone> {
        self.need_opened_term()?;
        limits::check(&mutation, self.inner.options.cluster_version).map_err(NotDone::Failed)?;
        // Checked here and not where the call came in, so that forwarded calls are checked like all others.
        self.check_rule(&mutation).await.map_err(NotDone::Failed)?;
        self.propose(mutation).await.map(ApiReply::Mutated)
    }

    /// Serves a node's request, which may concern only its own sessions.
    async fn serve_node(&self, node: NodeId, request: &NodeRequest) -> Result<ApiReply, NotDone> {
        self.need_opened_term()?;
        if let Some(session) = request.session() {
            self.check_owner(node, session).map_err(NotDone::Failed)?;
        }
        let mutation = match request {
            NodeRequest::OpenSession(open) if open.node != node => {
                let what =
                    format!("node {node} asks for a session of node {}; each opens its own", open.node);
                return Err(NotDone::Failed(ApiError::BadRequest(what)));
            }
            NodeRequest::OpenSession(open) => Mutation::OpenSession(open.clone()),
            NodeRequest::Report(report) => Mutation::Report(report.clone()),
            NodeRequest::ReportOf { report, others } => {
                Mutation::ReportOf { report: report.clone(), others: others.clone() }
            }
            NodeRequest::Shares(report) => {
                Mutation::Shares { report: report.clone(), moment: self.moment()? }
            }
            NodeRequest::EndSession { session } => Mutation::EndSession { session: *session, graceful: true },
            NodeRequest::WaitForWork { session, wants, timeout_ms } => {
                let demand = Demand::from(*wants);
                return self.wait_as_leader(*session, &demand, *timeout_ms).await.map(ApiReply::Work);
            }
            NodeRequest::WaitForWorkOf { session, wants, others, timeout_ms } => {
                let demand = Demand::new(*wants, others.clone());
                return self.wait_as_leader(*session, &demand, *timeout_ms).await.map(ApiReply::Work);
            }
            NodeRequest::Spend { session, report } => {
                Mutation::Spend { session: *session, report: report.clone() }
            }
            NodeRequest::EventsPassed { through } => Mutation::EventsPassed { through: *through },
            NodeRequest::Digest { index } => {
                return Ok(ApiReply::Digest(self.inner.replica.digest_at(*index)));
            }
        };
        self.propose(mutation).await.map(ApiReply::Mutated)
    }

    /// This moment by the leader's clock. The term is read first: whoever leads after it stamps later ones.
    fn moment(&self) -> Result<Moment, NotDone> {
        let term = self.leading_term().ok_or(NotDone::NotLeader)?;
        let at = u64::try_from(self.monotonic().as_millis()).unwrap_or(u64::MAX);
        Ok(Moment { term, process: self.inner.proposals.process, at })
    }

    /// Refuses a request about another node's session. An unknown session is left to the state machine.
    fn check_owner(&self, node: NodeId, session: SessionId) -> Result<(), ApiError> {
        let sessions = self.inner.replica.state().sessions();
        match sessions.iter().find(|open| open.id == session) {
            Some(open) if open.node != node => Err(ApiError::BadRequest(format!(
                "session {session} is node {}'s, not node {node}'s; each reports for its own",
                open.node
            ))),
            _ => Ok(()),
        }
    }

    /// Proposes a command, and returns once a majority has it on disk and it is applied.
    pub(super) async fn propose(&self, mutation: Mutation) -> Result<Response, NotDone> {
        let span =
            tracing::debug_span!("proposal", request = request_field(&mutation), "{}", mutation.name());
        self.propose_within_span(mutation).instrument(span).await
    }

    async fn propose_within_span(&self, mutation: Mutation) -> Result<Response, NotDone> {
        limits::check(&mutation, self.inner.options.cluster_version).map_err(NotDone::Failed)?;
        // A member with an older program cannot decode a newer command and would stop at its entry.
        if let Some(refusal) = mutation.refused_at(self.inner.replica.state().version()) {
            return Ok(Response::Refused(refusal));
        }
        let received = self.session_time();
        let reporter = mutation.report().map(|report| report.session);
        let _permit = self.inner.proposals.places.acquire().await.map_err(|_| stopping("the node stops"))?;
        let now = self.cluster_time(self.inner.replica.state().clock());
        // Decoded, a report takes many times the memory of its entry; it must not wait for the majority.
        let packed = {
            let command = Command { now, limits: self.inner.options.limits, mutation };
            PackedCommand::pack(&command).map_err(stopping)?
        };
        limits::check_size(packed.0.len()).map_err(NotDone::Failed)?;
        let written = match self.inner.raft.client_write(packed).await {
            Ok(written) => written,
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => return Err(NotDone::NotLeader),
            // It is unknown whether the entry was committed; every write can be repeated.
            Err(error) => return Err(stopping(error)),
        };
        let session = match &written.data {
            Response::SessionOpened(opened) => Some(opened.session),
            Response::Refused(_) => None,
            _ => reporter,
        };
        if let Some(session) = session {
            self.inner.heartbeats.note(session, received);
        }
        tracing::debug!(index = written.log_id.index, "applied");
        Ok(written.data)
    }

    /// Ensures that no other leader has been elected: with [`ReadPolicy::LeaseRead`], up to now; with
    /// [`ReadPolicy::ReadIndex`], also that everything acknowledged is applied here.
    pub(super) async fn confirm_leadership(&self, policy: ReadPolicy) -> Result<(), NotDone> {
        if planted(Bug::StaleRead) {
            return Ok(());
        }
        match self.inner.raft.ensure_linearizable(policy).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(openraft::errors::LinearizableReadError::ForwardToLeader(_))) => {
                Err(NotDone::NotLeader)
            }
            Err(error) => Err(stopping(error)),
        }
    }
}

pub(super) fn stopping(error: impl std::fmt::Display) -> NotDone {
    NotDone::Failed(ApiError::Unavailable(error.to_string()))
}
