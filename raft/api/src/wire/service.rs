//! The calls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tarpc::client::RpcError;
use tarpc::context::Context;

use storage::ids::UserId;

use crate::model::{Answer, Mutation, NodeId, NodeStatus, Query, Refusal, Response, SessionId, Wants};

/// Calls between nodes, and from clients to nodes.
#[tarpc::service]
pub trait Peer {
    /// The tracker's API. `hops` counts how often the call was forwarded.
    async fn api(request: ApiRequest, hops: u8) -> Result<ApiReply, ApiError>;
    /// A Raft message, opaque here.
    async fn raft(message: Bytes) -> Result<Bytes, String>;
}

/// The calls as [`Peer`] has them. Those that the macro makes panic over a peer that answers another call than it
/// was asked.
impl PeerClient {
    pub(crate) async fn call_api(
        &self,
        context: Context,
        request: ApiRequest,
        hops: u8,
    ) -> Result<Result<ApiReply, ApiError>, CallError> {
        match self.0.call(context, PeerRequest::Api { request, hops }).await? {
            PeerResponse::Api(answer) => Ok(answer),
            PeerResponse::Raft(_) => Err(CallError::AnotherCall),
        }
    }

    pub(crate) async fn call_raft(
        &self,
        context: Context,
        message: Bytes,
    ) -> Result<Result<Bytes, String>, CallError> {
        match self.0.call(context, PeerRequest::Raft { message }).await? {
            PeerResponse::Raft(answer) => Ok(answer),
            PeerResponse::Api(_) => Err(CallError::AnotherCall),
        }
    }
}

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It did not get through, or nothing came back.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// What came back answers nothing that was asked.
    #[error("the peer answers another call than it was asked; install the same release on all nodes")]
    AnotherCall,
}

/// A call of the tracker's API. Every one can be repeated without harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiRequest {
    /// Changes the state. Answered by the leader once a majority has it on disk.
    Mutate(Mutation),
    /// Reads the state. Answered by the leader.
    Query(Query),
    /// Waits until a report with these wants would bring the session something. Keeps the session
    /// alive.
    WaitForWork {
        /// The session.
        session: SessionId,
        /// What the report would want.
        wants: Wants,
        /// Answer `false` after this many ms.
        timeout_ms: u32,
    },
    /// What the called node says of itself. Never forwarded.
    NodeStatus,
    /// Moves leadership to another node, or to the one that has come furthest.
    TransferLeader {
        /// The node.
        to: Option<NodeId>,
    },
    /// Looks up the accounts of screen names. Done by the called node, with its own budgets.
    ResolveNames(Vec<String>),
}

/// The answer to an [`ApiRequest`], by the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiReply {
    /// The change was applied.
    Mutated(Response),
    /// The answer.
    Answer(Box<Answer>),
    /// Whether there is something.
    Work(bool),
    /// What the node says of itself.
    NodeStatus(Box<NodeStatus>),
    /// The new leader.
    Transferred(NodeId),
    /// The names that have an account.
    Resolved(Vec<(String, UserId)>),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ApiError {
    /// The state does not allow it. Trying again will not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call breaks a bound of the protocol. Trying again will not help.
    #[error("{0}")]
    BadRequest(String),
    /// The node cannot serve the call now. Another try, here or elsewhere, may succeed.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// Whether another try may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
