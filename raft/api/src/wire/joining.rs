//! Calls of nodes that form a cluster or join one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{ClusterId, DiskId, MemberId, NodeId};

/// What a node asks another one before it is a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinRequest {
    /// Who are you?
    Probe,
    /// Promise your data directory to this cluster, which is being formed.
    Prepare(Formation),
    /// Everybody has promised: the cluster exists.
    Begin(ClusterId),
    /// Let this node in. Answered by the leader.
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
    /// The name of the cluster that it wants to be in.
    pub name: String,
    /// The node and the disk that it would have.
    pub member: MemberId,
    /// Whether the disk is durable and is to be let in; else the node only asks whether it would be.
    pub bind: bool,
}

/// The answer to a [`JoinRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// What the node says of itself.
    Probed(Probed),
    /// It did what was asked.
    Done,
    /// The candidate is let in, to this cluster.
    Admitted(ClusterId),
    /// Not now; the reason is for people. Another try may succeed.
    NotNow(String),
    /// Never; the reason is for people. The node has to stop.
    Never(String),
}

/// How far a node is.
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
    /// The nodes that it was told to form a cluster with, with their addresses.
    pub peers: BTreeMap<NodeId, String>,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JoinStage {
    /// Its data directory is empty.
    Empty,
    /// Its data directory is promised to a cluster that is being formed.
    Promised(ClusterId),
    /// It is, or was, a member.
    Member(ClusterId),
}
