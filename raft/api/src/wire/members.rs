//! What an operator asks of the cluster's membership.

use serde::{Deserialize, Serialize};

use crate::model::{DiskId, NodeId};

/// A change of the cluster's members. Every one but `Replace` can be repeated without harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberRequest {
    /// Lets a node in that is no member. It joins as a learner.
    Add {
        /// The node.
        node: NodeId,
        /// Where the others reach it, `HOST:PORT`.
        address: String,
    },
    /// Lets one new disk of a member in, whichever it has now, once, while that one is silent. Repeated after the new disk
    /// has come and is silent, it throws that one out: ask for [`ReplaceDisk`](Self::ReplaceDisk) instead.
    Replace {
        /// The node.
        node: NodeId,
        /// Where the others will reach it, `HOST:PORT`; absent: where they reached it before.
        address: Option<String>,
    },
    /// Makes a voter of a learner.
    Promote {
        /// The node.
        node: NodeId,
    },
    /// Makes a learner of a voter.
    Demote {
        /// The node.
        node: NodeId,
    },
    /// Takes a node out of the cluster for good.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// Tells the others where a member is reached now.
    SetAddress {
        /// The node.
        node: NodeId,
        /// Where, `HOST:PORT`.
        address: String,
    },
    /// Lets one new disk of a node in, in place of this one, once, while this one is silent.
    ReplaceDisk {
        /// The node.
        node: NodeId,
        /// The disk that is lost.
        disk: DiskId,
        /// Where the others will reach the node, `HOST:PORT`; absent: where they reached it before.
        address: Option<String>,
    },
}
