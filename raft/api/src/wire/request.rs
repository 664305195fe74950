//! What may be asked of the tracker, and by whom.

use serde::{Deserialize, Serialize};

use super::bounds::{MAX_NAMES, at_most};
use super::members::MemberRequest;
use super::service::ApiError;
use crate::model::{EventId, NodeId, OpenSession, Query, Report, RequestId, SessionId, Wants, Write};

/// A call of the tracker's API. Every one can be repeated without harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiRequest {
    /// What the called node says of itself. Never forwarded.
    NodeStatus,
    /// Reads the state. Answered by the leader.
    Query(Query),
    /// Changes the state. Answered by the leader once a majority has it on disk.
    Write(Write),
    /// Moves leadership to another node, or to the one that has come furthest.
    TransferLeader {
        /// The node.
        to: Option<NodeId>,
    },
    /// Looks up the accounts of screen names. Done by the called node, with its own budgets.
    ResolveNames(#[serde(deserialize_with = "at_most::<{ MAX_NAMES }, _, _>")] Vec<String>),
    /// Changes the cluster's members. Answered by the leader.
    Members(MemberRequest),
    /// What only a node asks for.
    Node {
        /// The node that asks, or that it is asked for.
        node: NodeId,
        /// What it asks for.
        request: NodeRequest,
    },
    /// Compares all replicas at one entry of the log. Answered by the leader.
    CheckReplicas,
    /// Changes the state once, however often the call is repeated and whenever it is carried out.
    Once {
        /// The write's name.
        request: RequestId,
        /// The change.
        write: Write,
    },
}

/// What a node asks of the tracker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeRequest {
    /// Begins a session of the node.
    OpenSession(OpenSession),
    /// Reports.
    Report(Report),
    /// Ends a session of the node in good order.
    EndSession {
        /// The session.
        session: SessionId,
    },
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
    /// The node's mirror has passed on what happened.
    EventsPassed {
        /// All up to here.
        through: EventId,
    },
    /// Asks the called node for the digest of its replica after this entry of the log, which is kept from the first time on
    /// that it is asked for. Never forwarded.
    Digest {
        /// Log index of the entry.
        index: u64,
    },
}

/// A call that a node passes on to the leader. It is checked there as every other is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The node that passes it on.
    pub by: NodeId,
    /// How often it was passed on.
    pub hops: u8,
    /// The call.
    pub request: ApiRequest,
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Whoever may read.
    Viewer,
    /// Whoever may change something.
    Operator,
    /// This node.
    Node(NodeId),
}

impl ApiRequest {
    /// Who may make the call.
    pub fn needs(&self) -> Needs {
        match self {
            Self::NodeStatus | Self::Query(_) => Needs::Viewer,
            // The look-up of names spends the node's budgets, and a check writes to the log.
            Self::Write(_)
            | Self::Once { .. }
            | Self::TransferLeader { .. }
            | Self::ResolveNames(_)
            | Self::Members(_)
            | Self::CheckReplicas => Needs::Operator,
            Self::Node { node, .. } => Needs::Node(*node),
        }
    }
}

impl ApiRequest {
    /// The call as a peer understands it that speaks this version of the protocol.
    ///
    /// # Errors
    /// The version has no such call.
    pub fn in_version(self, version: u32) -> Result<Self, ApiError> {
        let since = match &self {
            Self::Once { .. } | Self::CheckReplicas => 5,
            Self::Node { request: NodeRequest::Digest { .. }, .. } => 5,
            Self::Members(MemberRequest::ReplaceDisk { .. }) => 5,
            _ => 4,
        };
        match self {
            call if since <= version => Ok(call),
            Self::Once { write, .. } => Ok(Self::Write(write)),
            _ => Err(ApiError::Unavailable(
                "the node that was asked runs an older release, which does not know this call; upgrade all nodes first"
                    .to_owned(),
            )),
        }
    }
}

impl Forwarded {
    /// The call as a peer understands it that speaks this version of the protocol.
    ///
    /// # Errors
    /// The version has no such call.
    pub fn in_version(self, version: u32) -> Result<Self, ApiError> {
        Ok(Self { request: self.request.in_version(version)?, ..self })
    }

    /// Who may pass a call on. What the call itself needs was checked by that node.
    pub fn needs(&self) -> Needs {
        Needs::Node(self.by)
    }
}

impl NodeRequest {
    /// The session that the request is about.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Report(report) => Some(report.session),
            Self::EndSession { session } | Self::WaitForWork { session, .. } => Some(*session),
            Self::OpenSession(_) | Self::EventsPassed { .. } | Self::Digest { .. } => None,
        }
    }
}
