//! What the tracker says of itself and of the cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use crate::model::{
    CLUSTER_VERSION, ClusterStatus, MemberStatus, NodeId, NodeRole, NodeStatus, SessionStatus,
};
use crate::wire::ApiError;

use super::tracker::Tracker;

/// How long another node may take to say how it is.
const STATUS_TIMEOUT: Duration = Duration::from_millis(800);

/// How long a transfer of leadership may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a node that may lead next may take to say how it is. A stopping leader waits for it.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);

impl Tracker {
    /// The leader that this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.raft.metrics().borrow_watched().current_leader
    }

    /// Whether this node takes part: it knows a leader and has applied all that it knows to be
    /// committed.
    pub fn is_ready(&self) -> bool {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let committed = metrics.local_committed.map_or(0, |id| id.index);
        metrics.current_leader.is_some() && self.inner.replica.applied_index() >= committed
    }

    /// What this node says of itself.
    pub fn status(&self) -> NodeStatus {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let workers = self.inner.workers.read().unwrap_or_else(|e| e.into_inner()).clone();
        NodeStatus {
            id: self.inner.options.id,
            version: self.inner.options.version.clone(),
            cluster_version: CLUSTER_VERSION,
            role: match metrics.state {
                ServerState::Learner | ServerState::Follower if !self.may_vote() => NodeRole::Rejoining,
                ServerState::Learner => NodeRole::Learner,
                ServerState::Follower => NodeRole::Follower,
                ServerState::Candidate => NodeRole::Candidate,
                ServerState::Leader => NodeRole::Leader,
                ServerState::Shutdown => NodeRole::Stopping,
            },
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: self.inner.replica.applied_index(),
            checkpoint: self.inner.replica.checkpoint_index(),
            uptime_ms: self.monotonic().saturating_sub(self.inner.started).as_millis() as u64,
            workers: workers.map(|source| source()),
        }
    }

    /// The whole cluster, as its leader sees it.
    pub(super) async fn cluster_status(&self) -> ClusterStatus {
        let own = self.inner.options.id;
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let members: Vec<(NodeId, String)> =
            membership.nodes().map(|(&id, member)| (id, member.address.clone())).collect();
        let asked = members.iter().map(|&(id, _)| async move {
            if id == own { Some(self.status()) } else { self.status_of(id, STATUS_TIMEOUT).await }
        });
        let statuses = futures::future::join_all(asked).await;
        let state = self.inner.replica.state();
        let now = self.monotonic();
        let with_silence = |mut session: SessionStatus| {
            session.silent_ms = self.inner.heard.silence(session.id, now).as_millis() as u64;
            session
        };
        let member = |((id, address), node): ((NodeId, String), Option<NodeStatus>)| {
            let (voter, drained) = (voters.contains(&id), state.is_drained(id));
            MemberStatus { id, address, voter, drained, node }
        };
        ClusterStatus {
            cluster: self.inner.options.cluster.clone(),
            leader: own,
            term: metrics.current_term,
            now: self.cluster_time(state.clock()),
            nodes: members.into_iter().zip(statuses).map(member).collect(),
            sessions: state.sessions().into_iter().map(with_silence).collect(),
            crawls: self.at_present(state.crawls()),
        }
    }

    /// Moves leadership away from this node. Answers who leads then.
    pub(super) async fn give_leadership(&self, to: Option<NodeId>) -> Result<NodeId, ApiError> {
        let own = self.inner.options.id;
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let voters: BTreeSet<NodeId> = metrics.membership_config.membership().voter_ids().collect();
        let to = match to {
            Some(to) if to == own => return Ok(own),
            Some(to) if !voters.contains(&to) => {
                return Err(ApiError::BadRequest(format!(
                    "node {to} is no voter; `twm-ctl member list` shows them"
                )));
            }
            Some(to) => self.able_to_lead(to).await?,
            None => {
                let progress = metrics.replication.iter().flatten();
                let others = progress.filter(|(id, _)| **id != own && voters.contains(id));
                self.furthest(others.map(|(id, matched)| (*id, matched.map(|m| m.index))).collect()).await?
            }
        };
        let trigger = self.inner.raft.trigger().transfer_leader(to).await;
        trigger.map_err(|e| ApiError::Unavailable(e.to_string()))?;
        let mut metrics = self.inner.raft.metrics();
        let moved = metrics.wait_until(|m| m.current_leader.is_some_and(|l| l != own));
        match tokio::time::timeout(TRANSFER_TIMEOUT, moved).await {
            Ok(Ok(metrics)) => Ok(metrics.current_leader.unwrap_or(to)),
            _ => Err(ApiError::Unavailable(format!("node {to} did not take the leadership over within 2 s"))),
        }
    }

    /// Refuses a node that would not win: then a third one would be elected, and nobody had asked for it.
    async fn able_to_lead(&self, to: NodeId) -> Result<NodeId, ApiError> {
        match self.status_of(to, STATUS_TIMEOUT).await.map(|status| status.role) {
            Some(NodeRole::Rejoining) => Err(ApiError::BadRequest(format!(
                "node {to} has a disk that is new to the cluster and cannot lead before it has caught up; wait until \
                 `twm-ctl member list` does not call it rejoining any more"
            ))),
            Some(_) => Ok(to),
            None => Err(ApiError::BadRequest(format!(
                "node {to} does not answer; start it, or transfer the leadership to another one"
            ))),
        }
    }

    /// The one that has come furthest of those that can lead, better one that answers.
    async fn furthest(&self, others: Vec<(NodeId, Option<u64>)>) -> Result<NodeId, ApiError> {
        let asked = others.into_iter().map(|(id, matched)| async move {
            let role = self.status_of(id, ASK_TIMEOUT).await.map(|status| status.role);
            (role, matched, id)
        });
        let asked = futures::future::join_all(asked).await.into_iter();
        let able = asked.filter(|(role, ..)| *role != Some(NodeRole::Rejoining));
        let furthest = able.max_by_key(|(role, matched, id)| (role.is_some(), *matched, *id));
        let none = || ApiError::BadRequest("there is no other voter that could lead now".to_owned());
        furthest.map(|(_, _, id)| id).ok_or_else(none)
    }
}
