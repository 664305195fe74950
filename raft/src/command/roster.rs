//! Changes of who may become a member.

use serde::{Deserialize, Serialize};

use api::model::{DiskId, MemberId, NodeId};

/// A change of the cluster's roster. The members themselves are Raft's; the roster holds what has to survive a leader
/// while a change of members is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterChange {
    /// The first voters were chosen.
    Formed,
    /// Lets one new disk of a node in.
    Admit {
        /// The node.
        node: NodeId,
        /// Where the others will reach it, `HOST:PORT`.
        address: String,
        /// The disk whose place it takes; absent for a node that is no member.
        replaces: Option<DiskId>,
    },
    /// Says which disk that is. From here on no other one is let in.
    Bind {
        /// The node.
        node: NodeId,
        /// The disk.
        disk: DiskId,
    },
    /// Takes an admission back that no disk has used.
    Withdraw {
        /// The node.
        node: NodeId,
    },
    /// A member is to leave.
    Leave {
        /// The member.
        member: MemberId,
    },
    /// Raft's members are as the change of this node wanted them.
    Settled {
        /// The node.
        node: NodeId,
    },
}
