//! Calls about forming and joining a cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{ClusterId, DiskId, MemberId, NodeId};

/// A call of a node that is not a member yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRequest {
    /// Who are you?
    Probe,
    /// Promise your data directory to this cluster, which is being formed.
    Prepare(Formation),
    /// Every node has promised: the cluster exists.
    Begin(ClusterId),
    /// Let this node join. Answered by the leader.
    Join(Candidate),
}

/// A cluster that is being formed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formation {
    /// Its id.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// The disk of each node.
    pub disks: BTreeMap<NodeId, DiskId>,
}

/// A node with an empty data directory that wants to be a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The name of the cluster that it wants to join.
    pub name: String,
    /// The node with its disk.
    pub member: MemberId,
    /// Whether the disk is durable and should be admitted; otherwise the node only asks whether it would be.
    pub bind: bool,
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// What the node says of itself.
    Probed(Probed),
    /// The request was carried out.
    Done,
    /// The candidate may join this cluster.
    Admitted(ClusterId),
    /// Not now, for this reason. A later attempt may succeed.
    NotNow(String),
    /// Never, for this reason. The node has to stop.
    Never(String),
}

/// The state of a node that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// The name of its cluster.
    pub name: String,
    /// The node and its disk.
    pub member: MemberId,
    /// Where it stands.
    pub stage: JoinStage,
    /// The members that it knows of.
    pub members: Vec<MemberId>,
    /// The configured nodes of a first cluster, with their addresses.
    pub peers: BTreeMap<NodeId, String>,
}

/// The stage of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinStage {
    /// Its data directory is empty.
    Empty,
    /// Its data directory is promised to a cluster that is being formed.
    Promised(ClusterId),
    /// It is, or was, a member.
    Member(ClusterId),
}
