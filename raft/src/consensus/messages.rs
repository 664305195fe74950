//! Raft's messages between nodes.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::model::MemberId;

use super::snapshots::SnapshotInbox;
use super::types::{Raft, Snapshot, TypeConfig, Vote};

/// A message to a peer's Raft.
#[derive(Serialize, Deserialize)]
pub(crate) enum RaftMessage {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// A part of a snapshot; an empty one asks for the offset at which to continue.
    SnapshotChunk {
        id: String,
        offset: u64,
        chunk: Bytes,
    },
    /// All parts were sent.
    SnapshotEnd {
        id: String,
        bytes: u64,
        vote: Vote,
    },
}

/// The answer to a [`RaftMessage`].
#[derive(Serialize, Deserialize)]
pub(super) enum RaftAnswer {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    TransferLeader(openraft::raft::TransferLeaderResponse<TypeConfig>),
    SnapshotNext(u64),
    Snapshot(SnapshotResponse<TypeConfig>),
}

impl RaftMessage {
    /// The member whose vote the message carries: the sender, if it is honest. Chunks of a snapshot carry none.
    pub(crate) fn sender(&self) -> Option<MemberId> {
        match self {
            Self::Append(request) => Some(request.vote.leader_id.node_id),
            Self::Vote(request) | Self::PreVote(request) => Some(request.vote.leader_id.node_id),
            Self::TransferLeader(request) => Some(request.from_leader().leader_id.node_id),
            Self::SnapshotEnd { vote, .. } => Some(vote.leader_id.node_id),
            Self::SnapshotChunk { .. } => None,
        }
    }

    /// Whether only a leader sends it.
    pub(crate) fn is_of_leader(&self) -> bool {
        match self {
            Self::Append(_) | Self::SnapshotChunk { .. } | Self::SnapshotEnd { .. } => true,
            Self::Vote(_) | Self::PreVote(_) | Self::TransferLeader(_) => false,
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        postcard::from_bytes(bytes).map_err(|e| format!("this is no Raft message of this version: {e}"))
    }

    /// Passes the message to this node's Raft. The answer is encoded.
    pub(crate) async fn handle(self, raft: &Raft, inbox: &SnapshotInbox) -> Result<Bytes, String> {
        let answer = match self {
            Self::Append(request) => RaftAnswer::Append(raft.append_entries(request).await.map_err(text)?),
            Self::Vote(request) => RaftAnswer::Vote(raft.vote(request).await.map_err(text)?),
            Self::PreVote(request) => RaftAnswer::Vote(raft.pre_vote(request).await.map_err(text)?),
            Self::TransferLeader(request) => {
                RaftAnswer::TransferLeader(raft.handle_transfer_leader(request).await.map_err(text)?)
            }
            Self::SnapshotChunk { id, offset, chunk } => {
                RaftAnswer::SnapshotNext(inbox.take(id, offset, chunk).await.map_err(text)?)
            }
            Self::SnapshotEnd { id, bytes, vote } => {
                let (meta, snapshot) = inbox.finish(&id, bytes).await.map_err(text)?;
                let snapshot = Snapshot { meta, snapshot };
                RaftAnswer::Snapshot(raft.install_full_snapshot(vote, snapshot).await.map_err(text)?)
            }
        };
        postcard::to_stdvec(&answer).map(Bytes::from).map_err(text)
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
