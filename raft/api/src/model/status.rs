//! The cluster as operators see it.

use serde::{Deserialize, Serialize};

use super::{ClusterId, CrawlView, DiskId, NodeId, SessionId, StorageId};

/// The whole cluster, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's name.
    pub cluster: String,
    /// The cluster.
    pub id: ClusterId,
    /// The leader, which answers.
    pub leader: NodeId,
    /// Its term.
    pub term: u64,
    /// Cluster time, ms.
    pub now: u64,
    /// Every member.
    pub nodes: Vec<MemberStatus>,
    /// Membership changes that are requested or in progress.
    pub changes: Vec<MemberChange>,
    /// Every live session.
    pub sessions: Vec<SessionStatus>,
    /// Every crawl.
    pub crawls: Vec<CrawlView>,
}

impl ClusterStatus {
    /// The newest disk of a node: the one that is joining, or else the member's.
    pub fn disk_of(&self, of: NodeId) -> Option<DiskId> {
        let joining = self.changes.iter().find_map(|change| match change {
            MemberChange::Joins { node, disk, .. } if *node == of => *disk,
            _ => None,
        });
        joining.or_else(|| self.nodes.iter().find(|member| member.id == of).map(|member| member.disk))
    }
}

/// A member, with its own status if it could be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The member.
    pub id: NodeId,
    /// Its data directory. A node whose data directory is being replaced appears twice.
    pub disk: DiskId,
    /// Where its peers reach it.
    pub address: String,
    /// Whether it votes; a learner does not.
    pub voter: bool,
    /// Whether an operator has drained it.
    pub drained: bool,
    /// Why the leader no longer replicates to it, with the remedy.
    pub cut_off: Option<String>,
    /// Its own status; absent if it did not answer.
    pub node: Option<NodeStatus>,
}

/// A membership change that is requested or in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    /// One new disk of the node may join.
    Joins {
        /// The node.
        node: NodeId,
        /// Where it is reached.
        address: String,
        /// The disk; absent until it has contacted the cluster.
        disk: Option<DiskId>,
        /// The disk that it replaces.
        replaces: Option<DiskId>,
    },
    /// The member leaves.
    Leaves {
        /// The node.
        node: NodeId,
        /// Its disk.
        disk: DiskId,
    },
}

/// A node's role in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeRole {
    /// Decides.
    Leader,
    /// Follows and votes.
    Follower,
    /// Seeks votes.
    Candidate,
    /// Follows without a vote.
    Learner,
    /// Shuts down.
    Stopping,
}

impl NodeRole {
    /// The name used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Stopping => "stopping",
        }
    }
}

/// The status of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node.
    pub id: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its data directory.
    pub disk: DiskId,
    /// Version of its program.
    pub version: String,
    /// The newest cluster version that its program knows.
    pub cluster_version: u32,
    /// Its part in Raft.
    pub role: NodeRole,
    /// Its term.
    pub term: u64,
    /// The leader, as far as it knows.
    pub leader: Option<NodeId>,
    /// Index of the last entry in its log.
    pub last_log: u64,
    /// Index of the last applied entry.
    pub applied: u64,
    /// Index of the last checkpoint on its disk.
    pub checkpoint: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// The status of its workers; absent before they start.
    pub workers: Option<WorkerStatus>,
}

/// A node's workers and addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Workers in all.
    pub total: u32,
    /// Workers with a job.
    pub busy: u32,
    /// Requests sent since the start.
    pub requests: u64,
    /// Failed requests since the start.
    pub request_errors: u64,
    /// Tweets written since the start.
    pub tweets: u64,
    /// Followers written since the start.
    pub followers: u64,
    /// Where the HTTP port listens.
    pub http: String,
    /// The addresses it crawls from.
    pub addresses: Vec<AddressStatus>,
    /// Why its dataset cannot be written, with the remedy; jobs that write wait.
    pub dataset_trouble: Option<String>,
    /// Why the source cannot be reached, with the remedy; jobs wait.
    pub api_trouble: Option<String>,
}

/// A local address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// The address; `any` when requests are not bound to one, `cluster` for budgets that all nodes share.
    pub address: String,
    /// Its rate budgets.
    pub budgets: Vec<BudgetStatus>,
}

/// A rate budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The endpoint that it applies to.
    pub endpoint: String,
    /// Requests per window; absent until the source has reported it.
    pub limit: Option<u64>,
    /// Requests left in this window; absent until the source has reported it.
    pub remaining: Option<u64>,
    /// Until the next window, ms.
    pub reset_in_ms: Option<u64>,
    /// Requests under way.
    pub in_flight: u32,
}

/// A live session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its id.
    pub id: SessionId,
    /// Its node.
    pub node: NodeId,
    /// Where the node's files are stored.
    pub storage: StorageId,
    /// Its workers.
    pub workers: u32,
    /// Jobs it holds.
    pub leased: u64,
    /// Jobs it completed.
    pub completed: u64,
    /// Since the leader last heard of it, ms.
    pub silent_ms: u64,
}
