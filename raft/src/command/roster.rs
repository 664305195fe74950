//! Changes of the roster.

use serde::{Deserialize, Serialize};

use api::model::{DiskId, MemberId, NodeId};

/// A change of the cluster's roster. The members themselves are Raft's; the roster records what must survive a change
/// of leader while a membership change is in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RosterChange {
    /// The first voters were chosen.
    Formed,
    /// Admits one new disk of a node.
    Admit {
        /// The node.
        node: NodeId,
        /// Its address, `HOST:PORT`.
        address: String,
        /// The disk that it replaces; absent for a node that is not a member.
        replaces: Option<DiskId>,
    },
    /// Binds an admission to a disk. No other disk is admitted from then on.
    Bind {
        /// The node.
        node: NodeId,
        /// The disk.
        disk: DiskId,
    },
    /// Withdraws an admission that no disk has used.
    Withdraw {
        /// The node.
        node: NodeId,
    },
    /// Marks a member for removal.
    Leave {
        /// The member.
        member: MemberId,
    },
    /// The membership change of this node is complete.
    Settled {
        /// The node.
        node: NodeId,
    },
}
