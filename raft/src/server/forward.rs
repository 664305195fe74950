//! Calls to other nodes.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use crate::model::{MemberId, NodeStatus};
use crate::wire::{ApiError, ApiReply, ApiRequest, Forwarded, Purpose};

use super::tracker::Tracker;

/// Timeout of a forwarded call.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call waits for a leader to become known.
const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

impl Tracker {
    /// Forwards a call to the leader, and gives up as soon as another one leads.
    pub(super) async fn forward(&self, request: ApiRequest, hops: u8) -> Result<ApiReply, ApiError> {
        let own = self.member();
        let leader = self.await_leader().await.ok_or_else(|| {
            ApiError::Unavailable(format!(
                "node {} knows no leader; a majority of the voters has to run",
                own.node
            ))
        })?;
        if leader == own {
            return Err(ApiError::Unavailable("the leadership is moving".to_owned()));
        }
        if matches!(request, ApiRequest::TransferLeader { .. } | ApiRequest::Members(_)) {
            // The leader answers even if it no longer leads.
            return self.call_node(leader, request, hops, FORWARD_TIMEOUT).await;
        }
        tokio::select! {
            biased;
            reply = self.call_node(leader, request, hops, FORWARD_TIMEOUT) => reply,
            () = self.leader_is_not(leader) => {
                Err(ApiError::Unavailable(format!("node {} does not lead any more", leader.node)))
            }
        }
    }

    /// Calls one member.
    pub(super) async fn call_node(
        &self,
        member: MemberId,
        request: ApiRequest,
        hops: u8,
        within: Duration,
    ) -> Result<ApiReply, ApiError> {
        let unavailable = |what: String| ApiError::Unavailable(format!("node {}: {what}", member.node));
        let peers = &self.inner.peers;
        let connection = peers.get(member, Purpose::Forward).await.map_err(|e| unavailable(e.to_string()))?;
        let call = Forwarded { by: self.inner.options.id, hops, request };
        match connection.forwarded(within, call).await {
            Ok(result) => result,
            Err(error) => {
                peers.forget(member, Purpose::Forward).await;
                Err(unavailable(error.to_string()))
            }
        }
    }

    /// The status of another member.
    pub(super) async fn status_of(&self, member: MemberId, within: Duration) -> Option<NodeStatus> {
        let call = self.call_node(member, ApiRequest::NodeStatus, 0, within);
        match tokio::time::timeout(within, call).await {
            Ok(Ok(ApiReply::NodeStatus(status))) => Some(*status),
            _ => None,
        }
    }

    /// The leader that this node knows.
    pub(super) fn leading_member(&self) -> Option<MemberId> {
        self.inner.raft.metrics().borrow_watched().current_leader
    }

    async fn await_leader(&self) -> Option<MemberId> {
        let mut metrics = self.inner.raft.server_metrics();
        let known = metrics.wait_until(|m| m.current_leader.is_some());
        let known = tokio::time::timeout(LEADER_TIMEOUT, known).await.ok()?;
        known.ok()?.current_leader
    }

    /// Resolves when another node leads. Every forwarded call waits for it, so it must not wake up with every
    /// turn of Raft's loop, as the full metrics do.
    async fn leader_is_not(&self, leader: MemberId) {
        let mut metrics = self.inner.raft.server_metrics();
        let changed = metrics.wait_until(|m| m.current_leader.is_some_and(|l| l != leader)).await;
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
