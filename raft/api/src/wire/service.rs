//! The calls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tarpc::client::RpcError;
use tarpc::context::Context;

use storage::ids::UserId;

use crate::model::{Answer, DigestAt, NodeId, NodeStatus, Refusal, ReplicaCheck, Response};

use super::joining::{JoinAnswer, JoinRequest};
use super::request::{ApiRequest, Forwarded};

/// Calls between nodes, and from clients to nodes.
#[tarpc::service]
pub trait Peer {
    /// The tracker's API.
    async fn api(request: ApiRequest) -> Result<ApiReply, ApiError>;
    /// A Raft message, opaque here.
    async fn raft(message: Bytes) -> Result<Bytes, String>;
    /// A call of the API that a node passes on. Taken on connections of nodes alone.
    async fn forwarded(call: Forwarded) -> Result<ApiReply, ApiError>;
    /// A node forms a cluster with others, or asks to be let into one.
    async fn join(request: JoinRequest) -> JoinAnswer;
}

/// The calls as [`Peer`] has them. Those that the macro makes panic over a peer that answers another call than it
/// was asked.
impl PeerClient {
    pub(crate) async fn call_api(
        &self,
        context: Context,
        request: ApiRequest,
    ) -> Result<Result<ApiReply, ApiError>, CallError> {
        match self.0.call(context, PeerRequest::Api { request }).await? {
            PeerResponse::Api(answer) => Ok(answer),
            _ => Err(CallError::AnotherCall),
        }
    }

    pub(crate) async fn call_forwarded(
        &self,
        context: Context,
        call: Forwarded,
    ) -> Result<Result<ApiReply, ApiError>, CallError> {
        match self.0.call(context, PeerRequest::Forwarded { call }).await? {
            PeerResponse::Forwarded(answer) => Ok(answer),
            _ => Err(CallError::AnotherCall),
        }
    }

    pub(crate) async fn call_raft(
        &self,
        context: Context,
        message: Bytes,
    ) -> Result<Result<Bytes, String>, CallError> {
        match self.0.call(context, PeerRequest::Raft { message }).await? {
            PeerResponse::Raft(answer) => Ok(answer),
            _ => Err(CallError::AnotherCall),
        }
    }

    pub(crate) async fn call_join(
        &self,
        context: Context,
        request: JoinRequest,
    ) -> Result<JoinAnswer, CallError> {
        match self.0.call(context, PeerRequest::Join { request }).await? {
            PeerResponse::Join(answer) => Ok(answer),
            _ => Err(CallError::AnotherCall),
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
    /// Done, nothing to tell.
    Done,
    /// The called node's replica.
    Digest(DigestAt),
    /// All replicas.
    Checked(ReplicaCheck),
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
    /// The caller's certificate does not allow it.
    #[error("{0}")]
    Forbidden(String),
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
