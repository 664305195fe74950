//! The calls of the tracker's API and who may make them.

use serde::{Deserialize, Serialize};

use storage::dataset::SourceName;

use super::bounds::{MAX_NAMES, MAX_SOURCES, at_most};
use super::members::MemberRequest;
use super::service::ApiError;
use crate::model::{
    EventId, NodeId, OpenSession, Query, Report, RequestId, SessionId, ShareReport, SourceWants, SpendReport,
    Wants, Write,
};

/// A call of the tracker's API. Every call is idempotent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiRequest {
    /// Asks for the status of the called node. Never forwarded.
    NodeStatus,
    /// Reads the state. Answered by the leader.
    Query(Query),
    /// Changes the state. Answered by the leader once a majority has it on disk.
    Write(Write),
    /// Transfers the leadership to a node, or to the most up-to-date one.
    TransferLeader {
        /// The node.
        to: Option<NodeId>,
    },
    /// Looks up the accounts of screen names. Served by the called node with its own budgets.
    ResolveNames(#[serde(deserialize_with = "at_most::<{ MAX_NAMES }, _, _>")] Vec<String>),
    /// Changes the cluster's members. Answered by the leader.
    Members(MemberRequest),
    /// A request that only nodes make.
    Node {
        /// The node that makes it, or for which it is forwarded.
        node: NodeId,
        /// The request.
        request: NodeRequest,
    },
    /// Compares all replicas at one log entry. Answered by the leader.
    CheckReplicas,
    /// Changes the state exactly once, however often the call is repeated and whenever it is carried out.
    Once {
        /// The write's name.
        request: RequestId,
        /// The change.
        write: Write,
    },
    /// Looks up the accounts of names in a source. Served by the called node with its own budgets.
    ResolveNamesOf {
        /// The source.
        source: SourceName,
        /// The names.
        #[serde(deserialize_with = "at_most::<{ MAX_NAMES }, _, _>")]
        names: Vec<String>,
    },
    /// Asks for the sources of the called node. Never forwarded.
    Sources {
        /// Whether to reach their hosts as well.
        check: bool,
    },
}

/// A node's request to the tracker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NodeRequest {
    /// Opens a session of the node.
    OpenSession(OpenSession),
    /// Reports.
    Report(Report),
    /// Closes a session of the node.
    EndSession {
        /// The session.
        session: SessionId,
    },
    /// Waits until a report with these wants would be granted something. Keeps the session alive.
    WaitForWork {
        /// The session.
        session: SessionId,
        /// The wants of the report.
        wants: Wants,
        /// Timeout, after which the answer is `false`, ms.
        timeout_ms: u32,
    },
    /// The node's mirror has passed on events.
    EventsPassed {
        /// All events up to this one.
        through: EventId,
    },
    /// Asks the called node for its digest at this log entry, which it keeps from the first such request on. Never
    /// forwarded.
    Digest {
        /// Index of the entry.
        index: u64,
    },
    /// Reports, and wants jobs of other sources than the default one.
    ReportOf {
        /// The report.
        report: Report,
        /// What is wanted of these sources.
        #[serde(deserialize_with = "at_most::<{ MAX_SOURCES }, _, _>")]
        others: Vec<SourceWants>,
    },
    /// Waits until [such a report](Self::ReportOf) would be granted something.
    WaitForWorkOf {
        /// The session.
        session: SessionId,
        /// The wants of the report.
        wants: Wants,
        /// What is wanted of these sources.
        #[serde(deserialize_with = "at_most::<{ MAX_SOURCES }, _, _>")]
        others: Vec<SourceWants>,
        /// Timeout, after which the answer is `false`, ms.
        timeout_ms: u32,
    },
    /// Reports what became of the session's money, and takes more.
    Spend {
        /// The session.
        session: SessionId,
        /// The report.
        report: SpendReport,
    },
    /// Reports on shared budgets, and wants requests of them.
    Shares(ShareReport),
}

/// A call that a node forwards to the leader, which checks it like any other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The node that forwards it.
    pub by: NodeId,
    /// How often it was forwarded.
    pub hops: u8,
    /// The call.
    pub request: ApiRequest,
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// A client that may read.
    Viewer,
    /// Anybody who may make changes.
    Operator,
    /// This node.
    Node(NodeId),
}

impl ApiRequest {
    /// Who may make the call.
    pub fn needs(&self) -> Needs {
        match self {
            Self::NodeStatus | Self::Query(_) | Self::Sources { check: false } => Needs::Viewer,
            // Looking up names spends the node's budgets, and a check writes to the log.
            Self::Write(_)
            | Self::Once { .. }
            | Self::TransferLeader { .. }
            | Self::ResolveNames(_)
            | Self::ResolveNamesOf { .. }
            | Self::Sources { check: true }
            | Self::Members(_)
            | Self::CheckReplicas => Needs::Operator,
            Self::Node { node, .. } => Needs::Node(*node),
        }
    }
}

impl ApiRequest {
    /// The call as a peer that speaks this protocol version understands it.
    ///
    /// # Errors
    /// The version has no such call.
    pub fn in_version(self, version: u32) -> Result<Self, ApiError> {
        let since = match &self {
            Self::Once { .. } | Self::CheckReplicas => 5,
            Self::Node { request: NodeRequest::Digest { .. }, .. } => 5,
            Self::Members(MemberRequest::ReplaceDisk { .. }) => 5,
            Self::ResolveNamesOf { .. } | Self::Sources { .. } => 6,
            Self::Node {
                request: NodeRequest::Report(report) | NodeRequest::ReportOf { report, .. },
                ..
            } if report.findings.iter().any(|(_, _, finding)| finding.since_version() > 5) => 7,
            Self::Node {
                request: NodeRequest::ReportOf { .. } | NodeRequest::WaitForWorkOf { .. }, ..
            } => 6,
            Self::Node { request: NodeRequest::Spend { .. }, .. } | Self::Query(Query::Spend) => 7,
            Self::Write(Write::CreateCrawl { spec, .. }) if spec.spend_limit.is_some() => 7,
            Self::Node { request: NodeRequest::Shares(_), .. } => 7,
            Self::Write(Write::CreateCrawl { spec, .. }) if !spec.source.is_default() => 6,
            _ => 4,
        };
        match self {
            call if since <= version => Ok(call),
            Self::Once { write, .. } => Self::Write(write).in_version(version),
            _ => Err(ApiError::Unavailable(
                "the node that was asked runs an older release, which does not know this call; upgrade all nodes first"
                    .to_owned(),
            )),
        }
    }
}

impl ApiRequest {
    /// The request id, if the call has one.
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Self::Write(Write::CreateCrawl { request, .. } | Write::RetryErrors { request, .. })
            | Self::Once { request, .. } => Some(*request),
            _ => None,
        }
    }
}

impl Forwarded {
    /// The call as a peer that speaks this protocol version understands it.
    ///
    /// # Errors
    /// The version has no such call.
    pub fn in_version(self, version: u32) -> Result<Self, ApiError> {
        Ok(Self { request: self.request.in_version(version)?, ..self })
    }

    /// Who may forward a call. The forwarding node has checked the caller's own rights.
    pub fn needs(&self) -> Needs {
        Needs::Node(self.by)
    }
}

impl NodeRequest {
    /// The session that the request concerns.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Report(report) | Self::ReportOf { report, .. } => Some(report.session),
            Self::EndSession { session }
            | Self::WaitForWork { session, .. }
            | Self::WaitForWorkOf { session, .. }
            | Self::Spend { session, .. } => Some(*session),
            Self::Shares(report) => Some(report.session),
            Self::OpenSession(_) | Self::EventsPassed { .. } | Self::Digest { .. } => None,
        }
    }
}
