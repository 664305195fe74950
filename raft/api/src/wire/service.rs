//! The calls.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tarpc::client::RpcError;
use tarpc::context::Context;

use storage::ids::UserId;

use crate::model::{Answer, DigestAt, NodeId, NodeStatus, Refusal, ReplicaCheck, Response, SourceStatus};

use super::joining::{JoinAnswer, JoinRequest};
use super::request::{ApiRequest, Forwarded};

/// Calls between nodes, and from clients to nodes.
#[tarpc::service]
pub trait Peer {
    /// The tracker's API.
    async fn api(request: ApiRequest) -> Result<ApiReply, ApiError>;
    /// A Raft message, opaque at this layer.
    async fn raft(message: Bytes) -> Result<Bytes, String>;
    /// A forwarded call of the API. Accepted on connections of nodes only.
    async fn forwarded(call: Forwarded) -> Result<ApiReply, ApiError>;
    /// A node forms a cluster with others, or asks to join one.
    async fn join(request: JoinRequest) -> JoinAnswer;
}

/// The calls of [`Peer`] as methods that return an error when the peer answers another call; the generated ones would
/// panic.
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

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The request or the response was lost.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The response belongs to another call.
    #[error("the peer answers another call than it was asked; install the same release on all nodes")]
    AnotherCall,
}

/// The answer to the [`ApiRequest`] of the same name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiReply {
    /// The change was applied.
    Mutated(Response),
    /// The answer.
    Answer(Box<Answer>),
    /// Whether there is work.
    Work(bool),
    /// The status of the node.
    NodeStatus(Box<NodeStatus>),
    /// The new leader.
    Transferred(NodeId),
    /// The names that have an account.
    Resolved(Vec<(String, UserId)>),
    /// Done; there is nothing to return.
    Done,
    /// The digest of the called node's replica.
    Digest(DigestAt),
    /// All replicas.
    Checked(ReplicaCheck),
    /// The sources of the called node.
    Sources(Vec<SourceStatus>),
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ApiError {
    /// The state does not allow the call. A retry will not help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call exceeds a bound of the protocol. A retry will not help.
    #[error("{0}")]
    BadRequest(String),
    /// The caller's certificate does not permit the call.
    #[error("{0}")]
    Forbidden(String),
    /// The node cannot serve the call now. A retry, here or elsewhere, may succeed.
    #[error("{0}")]
    Unavailable(String),
}

impl ApiError {
    /// Whether a retry may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
