//! The status of the node and of the cluster.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant, ServerState};

use crate::model::{
    ClusterStatus, MemberChange, MemberId, MemberStatus, NodeId, NodeRole, NodeStatus, SessionStatus,
    WorkerStatus,
};
use crate::state::RosterEntry;
use crate::wire::{ApiError, JoinStage, Probed};

use super::tracker::Tracker;

/// Timeout of another node's status.
const STATUS_TIMEOUT: Duration = Duration::from_millis(800);

/// Timeout of a leadership transfer.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(2);

/// Timeout of the status of a candidate for the leadership. A stopping leader waits for it.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);

/// A leader that has been silent for this long, or for four of the longest election timeouts, counts as gone.
const LEADER_SILENCE: Duration = Duration::from_secs(2);

pub(super) type WorkerStatusSource = Arc<dyn Fn() -> WorkerStatus + Send + Sync>;

/// What a node's status says about its process.
pub(super) struct AboutProcess {
    /// When it started, by its monotonic clock.
    started: Duration,
    /// Absent until the workers run.
    workers: RwLock<Option<WorkerStatusSource>>,
}

impl AboutProcess {
    /// A process that starts at this time of its monotonic clock.
    pub(super) fn started_at(started: Duration) -> Self {
        Self { started, workers: RwLock::default() }
    }
}

impl Tracker {
    /// Sets the source of the workers' status.
    pub fn set_worker_status(&self, source: WorkerStatusSource) {
        *self.inner.about_process.workers.write().unwrap_or_else(|e| e.into_inner()) = Some(source);
    }

    /// The leader, if it was heard of recently. With pre-votes, a node without a majority keeps its vote for a leader
    /// that is gone, and a leader without a majority keeps its role.
    pub fn leader(&self) -> Option<NodeId> {
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader?;
        let silent = match leader == self.member() {
            // A majority of one needs nobody else.
            true if metrics.membership_config.voter_ids().count() == 1 => Duration::ZERO,
            true => metrics.last_quorum_acked?.elapsed(),
            false => self.monotonic().saturating_sub(self.inner.contact.last_of_leader()),
        };
        let longest = LEADER_SILENCE.max(self.inner.options.election_timeout.1 * 4);
        (silent <= longest).then_some(leader.node)
    }

    /// Whether this node takes part: it hears a leader and has applied everything that it knows to be
    /// committed.
    pub fn is_ready(&self) -> bool {
        let committed = self.inner.raft.metrics().borrow_watched().local_committed.map_or(0, |id| id.index);
        self.leader().is_some() && self.inner.replica.applied_index() >= committed
    }

    /// The status of this node.
    pub fn status(&self) -> NodeStatus {
        let leader = self.leader();
        let metrics = self.inner.raft.metrics();
        let metrics = metrics.borrow_watched().clone();
        let about = &self.inner.about_process;
        let workers = about.workers.read().unwrap_or_else(|e| e.into_inner()).clone();
        NodeStatus {
            id: self.inner.options.id,
            cluster: self.cluster_id(),
            disk: self.member().disk,
            version: self.inner.options.version.clone(),
            cluster_version: self.inner.options.cluster_version,
            role: match metrics.state {
                ServerState::Learner => NodeRole::Learner,
                ServerState::Follower => NodeRole::Follower,
                ServerState::Candidate => NodeRole::Candidate,
                ServerState::Leader => NodeRole::Leader,
                ServerState::Shutdown => NodeRole::Stopping,
            },
            term: metrics.current_term,
            leader,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: self.inner.replica.applied_index(),
            checkpoint: self.inner.replica.checkpoint_index(),
            uptime_ms: self.monotonic().saturating_sub(about.started).as_millis() as u64,
            workers: workers.map(|source| source()),
        }
    }

    /// The whole cluster, as its leader sees it.
    pub(super) async fn cluster_status(&self) -> ClusterStatus {
        let own = self.member();
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<MemberId> = membership.voter_ids().collect();
        let members: Vec<(MemberId, String)> =
            membership.nodes().map(|(&id, member)| (id, member.address.clone())).collect();
        let asked = members.iter().map(|&(id, _)| async move {
            if id == own { Some(self.status()) } else { self.status_of(id, STATUS_TIMEOUT).await }
        });
        let statuses = futures::future::join_all(asked).await;
        let state = self.inner.replica.state();
        let now = self.monotonic();
        let with_silence = |mut session: SessionStatus| {
            session.silent_ms = self.inner.heartbeats.silence(session.id, now).as_millis() as u64;
            session
        };
        let member = |((member, address), node): ((MemberId, String), Option<NodeStatus>)| MemberStatus {
            id: member.node,
            disk: member.disk,
            address,
            voter: voters.contains(&member),
            drained: state.is_drained(member.node),
            cut_off: self.inner.peers.acknowledged().lost(member).map(|lost| lost.to_string()),
            node,
        };
        let change = |(node, entry): (NodeId, &RosterEntry)| match entry {
            RosterEntry::Joins { address, disk, replaces } => {
                MemberChange::Joins { node, address: address.clone(), disk: *disk, replaces: *replaces }
            }
            RosterEntry::Leaves { disk } => MemberChange::Leaves { node, disk: *disk },
        };
        ClusterStatus {
            cluster: self.inner.options.cluster.clone(),
            id: self.cluster_id(),
            leader: own.node,
            changes: state.roster().entries().map(change).collect(),
            term: metrics.current_term,
            now: self.cluster_time(state.clock()),
            nodes: members.into_iter().zip(statuses).map(member).collect(),
            sessions: state.sessions().into_iter().map(with_silence).collect(),
            crawls: self.at_present(state.crawls()),
        }
    }

    /// Moves leadership away from this node. Returns the new leader.
    pub(super) async fn give_leadership(&self, to: Option<NodeId>) -> Result<NodeId, ApiError> {
        let own = self.member();
        let metrics = self.inner.raft.metrics().borrow_watched().clone();
        let voters: BTreeSet<MemberId> = metrics.membership_config.membership().voter_ids().collect();
        let to = match to {
            Some(to) if to == own.node => return Ok(to),
            Some(to) => match voters.iter().find(|voter| voter.node == to) {
                Some(voter) => self.able_to_lead(*voter).await?,
                None => {
                    return Err(ApiError::BadRequest(format!(
                        "node {to} is no voter; `twm-ctl member list` shows them"
                    )));
                }
            },
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
            Ok(Ok(metrics)) => Ok(metrics.current_leader.unwrap_or(to).node),
            _ => Err(ApiError::Unavailable(format!(
                "node {} did not take the leadership over within 2 s",
                to.node
            ))),
        }
    }

    /// Refuses a node that would not win the election: a third node would, which nobody has asked for.
    async fn able_to_lead(&self, to: MemberId) -> Result<MemberId, ApiError> {
        match self.status_of(to, STATUS_TIMEOUT).await {
            Some(_) => Ok(to),
            None => Err(ApiError::BadRequest(format!(
                "node {} does not answer; start it, or transfer the leadership to another one",
                to.node
            ))),
        }
    }

    /// The most up-to-date node, preferably one that answers.
    async fn furthest(&self, others: Vec<(MemberId, Option<u64>)>) -> Result<MemberId, ApiError> {
        let asked = others.into_iter().map(|(id, matched)| async move {
            (self.status_of(id, ASK_TIMEOUT).await.is_some(), matched, id)
        });
        let furthest = futures::future::join_all(asked).await.into_iter().max();
        let none = || ApiError::BadRequest("there is no other voter that could lead now".to_owned());
        furthest.map(|(.., id)| id).ok_or_else(none)
    }

    /// What this node tells one that is not a member.
    pub(super) fn probe(&self) -> Probed {
        let (membership, _) = self.membership();
        Probed {
            name: self.inner.options.cluster.clone(),
            member: self.member(),
            stage: JoinStage::Member(self.cluster_id()),
            members: membership.nodes().map(|(id, _)| *id).collect(),
            peers: self.inner.options.peers.clone(),
        }
    }
}
