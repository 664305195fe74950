//! Calls to other nodes.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::model::{NodeId, NodeStatus};
use crate::wire::{ApiError, ApiReply, ApiRequest, Forwarded, Purpose};

use super::tracker::Tracker;

/// How long a forwarded call may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a call waits for a leader to be known.
const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

impl Tracker {
    /// Sends a call to the leader and gives up as soon as another one leads.
    pub(super) async fn forward(&self, request: ApiRequest, hops: u8) -> Result<ApiReply, ApiError> {
        let own = self.inner.options.id;
        let leader = self.await_leader().await.ok_or_else(|| {
            ApiError::Unavailable(format!("node {own} knows no leader; a majority of the nodes has to run"))
        })?;
        if leader == own {
            return Err(ApiError::Unavailable("the leadership is moving".to_owned()));
        }
        if matches!(request, ApiRequest::TransferLeader { .. }) {
            // The leader answers when it does not lead any more.
            return self.call_node(leader, request, hops, FORWARD_TIMEOUT).await;
        }
        tokio::select! {
            reply = self.call_node(leader, request, hops, FORWARD_TIMEOUT) => reply,
            () = self.leader_is_not(leader) => {
                Err(ApiError::Unavailable(format!("node {leader} does not lead any more")))
            }
        }
    }

    /// Calls one node.
    pub(super) async fn call_node(
        &self,
        node: NodeId,
        request: ApiRequest,
        hops: u8,
        within: Duration,
    ) -> Result<ApiReply, ApiError> {
        let unavailable = |what: String| ApiError::Unavailable(format!("node {node}: {what}"));
        let address =
            self.address_of(node).ok_or_else(|| unavailable("its address is not known".to_owned()))?;
        let peers = &self.inner.peers;
        let connection =
            peers.get(node, &address, Purpose::Forward).await.map_err(|e| unavailable(e.to_string()))?;
        let mut context = tarpc::context::current();
        context.deadline = (Instant::now() + within).into_std();
        let call = Forwarded { by: self.inner.options.id, hops, request };
        match connection.forwarded(context, call).await {
            Ok(result) => result,
            Err(error) => {
                peers.forget(node, Purpose::Forward).await;
                Err(unavailable(error.to_string()))
            }
        }
    }

    /// What another node says of itself.
    pub(super) async fn status_of(&self, node: NodeId, within: Duration) -> Option<NodeStatus> {
        let call = self.call_node(node, ApiRequest::NodeStatus, 0, within);
        match tokio::time::timeout(within, call).await {
            Ok(Ok(ApiReply::NodeStatus(status))) => Some(*status),
            _ => None,
        }
    }

    fn address_of(&self, node: NodeId) -> Option<String> {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let member = metrics.membership_config.membership().get_node(&node).map(|m| m.address.clone());
        member.or_else(|| self.inner.options.peers.get(&node).cloned())
    }

    async fn await_leader(&self) -> Option<NodeId> {
        let mut metrics = self.inner.raft.server_metrics();
        let known = metrics.wait_until(|m| m.current_leader.is_some());
        let known = tokio::time::timeout(LEADER_TIMEOUT, known).await.ok()?;
        known.ok()?.current_leader
    }

    /// Resolves when another node leads. Every forwarded call waits for it, so it must not be woken by
    /// what all metrics tell with each turn of Raft's loop.
    async fn leader_is_not(&self, leader: NodeId) {
        let mut metrics = self.inner.raft.server_metrics();
        let changed = metrics.wait_until(|m| m.current_leader.is_some_and(|l| l != leader)).await;
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
