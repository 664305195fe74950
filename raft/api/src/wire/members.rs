//! Requests to change the cluster's members.

use serde::{Deserialize, Serialize};

use crate::model::{DiskId, NodeId};

/// A change of the cluster's members. All but `Replace` are idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRequest {
    /// Admits a node that is not a member. It joins as a learner.
    Add {
        /// The node.
        node: NodeId,
        /// Its address, `HOST:PORT`.
        address: String,
    },
    /// Admits one new disk of a member in place of its current one, once, while that one is silent. A repeated
    /// request could remove the new disk if that has joined and fallen silent: use [`ReplaceDisk`](Self::ReplaceDisk)
    /// instead.
    Replace {
        /// The node.
        node: NodeId,
        /// Its new address, `HOST:PORT`; absent: unchanged.
        address: Option<String>,
    },
    /// Promotes a learner to a voter.
    Promote {
        /// The node.
        node: NodeId,
    },
    /// Demotes a voter to a learner.
    Demote {
        /// The node.
        node: NodeId,
    },
    /// Removes a node from the cluster for good.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// Changes the address of a member.
    SetAddress {
        /// The node.
        node: NodeId,
        /// Where, `HOST:PORT`.
        address: String,
    },
    /// Admits one new disk of a node in place of this one, once, while this one is silent.
    ReplaceDisk {
        /// The node.
        node: NodeId,
        /// The lost disk.
        disk: DiskId,
        /// Its new address, `HOST:PORT`; absent: unchanged.
        address: Option<String>,
    },
}
