//! The tracker's interface.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use storage::dataset::SourceName;
use storage::ids::UserId;

use crate::client::ClientError;
use crate::model::{
    Answer, EventId, LeaseId, NodeId, NodeStatus, OpenSession, Query, ReplicaCheck, Report, ReportAnswer,
    RequestId, Response, SessionId, SessionOpened, ShareReport, SharesAnswer, SourceStatus, SourceWants,
    SpendAnswer, SpendReport, SpendStatus, Wants, Write,
};
use crate::wire::{ApiReply, ApiRequest, MemberRequest, NodeRequest};

/// The future of a call.
pub type Called<'a, T> = BoxFuture<'a, Result<T, ClientError>>;

/// The tracker: a cluster behind a [`Client`](crate::client::Client), a node's own replica, or a state machine alone
/// in a test. Implementors provide [`call`](Self::call); the typed calls are built on it. A call is retried until it
/// is served or its timeout expires.
pub trait TrackerApi: Send + Sync + 'static {
    /// Makes a call.
    fn call(&self, request: ApiRequest) -> Called<'_, ApiReply>;

    /// An id for a new write. A caller that repeats the write must use the same one.
    fn request_id(&self) -> RequestId;

    /// Reads a state that includes every write acknowledged before.
    fn query(&self, query: Query) -> Called<'_, Answer> {
        async move { self.call(ApiRequest::Query(query)).await?.answer() }.boxed()
    }

    /// Changes the state exactly once, whichever attempts of the call are carried out and when. A refusal is
    /// an error.
    fn write(&self, write: Write) -> Called<'_, Response> {
        let request = match write.needs_request_id() {
            true => ApiRequest::Once { request: self.request_id(), write },
            false => ApiRequest::Write(write),
        };
        async move { self.call(request).await?.mutated() }.boxed()
    }

    /// The status of the called node.
    fn node_status(&self) -> Called<'_, NodeStatus> {
        async move { self.call(ApiRequest::NodeStatus).await?.node_status() }.boxed()
    }

    /// Transfers the leadership to a node, or to the most up-to-date one. Returns the new leader.
    fn transfer_leader(&self, to: Option<NodeId>) -> Called<'_, NodeId> {
        async move { self.call(ApiRequest::TransferLeader { to }).await?.transferred() }.boxed()
    }

    /// Looks up screen names (without `@`), at most [`MAX_NAMES`](crate::client::MAX_NAMES), using the budgets of any
    /// node. Returns those that have an account.
    fn resolve(&self, names: Vec<String>) -> Called<'_, Vec<(String, UserId)>> {
        async move { self.call(ApiRequest::ResolveNames(names)).await?.resolved() }.boxed()
    }

    /// Like [`resolve`](Self::resolve), in a source by name.
    fn resolve_of(&self, source: SourceName, names: Vec<String>) -> Called<'_, Vec<(String, UserId)>> {
        let request = match source.is_default() {
            true => ApiRequest::ResolveNames(names),
            false => ApiRequest::ResolveNamesOf { source, names },
        };
        async move { self.call(request).await?.resolved() }.boxed()
    }

    /// The sources of the called node; with `check`, after it has reached their hosts.
    fn sources(&self, check: bool) -> Called<'_, Vec<SourceStatus>> {
        async move { self.call(ApiRequest::Sources { check }).await?.sources() }.boxed()
    }

    /// Changes the cluster's members.
    fn change_members(&self, request: MemberRequest) -> Called<'_, ()> {
        async move { self.call(ApiRequest::Members(request)).await?.done() }.boxed()
    }

    /// Compares all replicas at one log entry.
    fn check_replicas(&self) -> Called<'_, ReplicaCheck> {
        async move { self.call(ApiRequest::CheckReplicas).await?.checked() }.boxed()
    }

    /// Lets one new disk of a node replace the one that it has now; `HOST:PORT` is its address if that changes.
    fn replace_disk(&self, node: NodeId, address: Option<String>) -> Called<'_, ()> {
        async move {
            let Answer::Status(status) = self.query(Query::Status).await? else {
                return Err(ClientError::UnexpectedResponse { asked: "question for the members" });
            };
            self.change_members(match status.disk_of(node) {
                Some(disk) => MemberRequest::ReplaceDisk { node, disk, address },
                // The leader reports that there is no such node.
                None => MemberRequest::Replace { node, address },
            })
            .await
        }
        .boxed()
    }

    /// Begins a session of a node.
    fn open_session(&self, open: OpenSession) -> Called<'_, SessionOpened> {
        let request = ApiRequest::Node { node: open.node, request: NodeRequest::OpenSession(open) };
        async move { self.call(request).await?.opened() }.boxed()
    }

    /// Reports, one report of a session at a time. `others` are the wants of other sources than the default one; they need
    /// cluster version 5.
    fn report(&self, node: NodeId, report: Report, others: Vec<SourceWants>) -> Called<'_, ReportAnswer> {
        let request = match others.is_empty() {
            true => NodeRequest::Report(report),
            false => NodeRequest::ReportOf { report, others },
        };
        let request = ApiRequest::Node { node, request };
        async move { self.call(request).await?.reported() }.boxed()
    }

    /// Waits up to `timeout` until a report with these wants would be granted something, or the session is
    /// over. `false` means that the session is alive and there is no work.
    fn wait_for_work(
        &self,
        node: NodeId,
        session: SessionId,
        wants: Wants,
        others: Vec<SourceWants>,
        timeout: Duration,
    ) -> Called<'_, bool> {
        let timeout_ms = timeout.as_millis() as u32;
        let request = match others.is_empty() {
            true => NodeRequest::WaitForWork { session, wants, timeout_ms },
            false => NodeRequest::WaitForWorkOf { session, wants, others, timeout_ms },
        };
        let request = ApiRequest::Node { node, request };
        async move { self.call(request).await?.work() }.boxed()
    }

    /// Reports what became of a session's money and takes more, one report of a session at a time. It needs cluster
    /// version 6.
    fn spend(&self, node: NodeId, session: SessionId, report: SpendReport) -> Called<'_, SpendAnswer> {
        let request = ApiRequest::Node { node, request: NodeRequest::Spend { session, report } };
        async move { self.call(request).await?.spent() }.boxed()
    }

    /// All money of the cluster.
    fn spend_status(&self) -> Called<'_, SpendStatus> {
        async move {
            match self.query(Query::Spend).await? {
                Answer::Spend(status) => Ok(*status),
                _ => Err(ClientError::UnexpectedResponse { asked: "question for money" }),
            }
        }
        .boxed()
    }

    /// Reports on shared budgets, one report of a session at a time. Needs cluster version 6.
    fn share(&self, node: NodeId, report: ShareReport) -> Called<'_, SharesAnswer> {
        let request = ApiRequest::Node { node, request: NodeRequest::Shares(report) };
        async move { self.call(request).await?.shared() }.boxed()
    }

    /// Ends a session of a node in good order.
    fn end_session(&self, node: NodeId, session: SessionId) -> Called<'_, ()> {
        let request = ApiRequest::Node { node, request: NodeRequest::EndSession { session } };
        async move { self.call(request).await?.mutated().map(|_done| ()) }.boxed()
    }

    /// Which of these leases name a draft that is still needed.
    fn drafts_in_use(&self, leases: Vec<LeaseId>) -> Called<'_, Vec<LeaseId>> {
        async move {
            match self.query(Query::DraftsInUse(leases)).await? {
                Answer::DraftsInUse(used) => Ok(used),
                _ => Err(ClientError::UnexpectedResponse { asked: "question for drafts" }),
            }
        }
        .boxed()
    }

    /// Tells the tracker that a node has passed on all events up to `through`, so that they need not be kept.
    fn events_passed(&self, node: NodeId, through: EventId) -> Called<'_, ()> {
        let request = ApiRequest::Node { node, request: NodeRequest::EventsPassed { through } };
        async move { self.call(request).await?.mutated().map(|_done| ()) }.boxed()
    }
}
