//! openraft's types for this crate.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{ClusterId, Command, MemberId, Response};

use super::machine::Machine;

openraft::declare_raft_types!(
    /// openraft over packed commands.
    pub(crate) TypeConfig:
        D = PackedCommand,
        R = Response,
        NodeId = MemberId,
        Node = Member,
        AsyncRuntime = super::runtime::Runtime,
);

pub(crate) type Raft = openraft::Raft<TypeConfig, Machine>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type Payload = openraft::EntryPayload<PackedCommand, MemberId, Member>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// Metrics that change only with the leader, the term or the members.
pub(crate) type ServerMetrics = openraft::type_config::alias::WatchReceiverOf<
    TypeConfig,
    openraft::metrics::RaftServerMetrics<TypeConfig>,
>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot =
    openraft::type_config::alias::SnapshotOf<TypeConfig, super::snapshots::SnapshotData>;

/// A member of the cluster, as stored in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Its address, `HOST:PORT`.
    pub(crate) address: String,
    /// The cluster. The first entry of a log is a membership, so that every log and every snapshot carries
    /// it.
    pub(crate) cluster: ClusterId,
}

/// An encoded command, as the log and the network carry it: encoded once by the node that proposes it,
/// decoded once by each replica that applies it, and shared without copying in between.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackedCommand(pub(crate) Bytes);

impl PackedCommand {
    pub(crate) fn pack(command: &Command) -> Result<Self, postcard::Error> {
        // Trimmed to its size, because the log keeps thousands of them in memory.
        postcard::to_stdvec(command).map(|bytes| Self(bytes.into_boxed_slice().into()))
    }

    pub(crate) fn unpack(&self) -> Result<Command, postcard::Error> {
        postcard::from_bytes(&self.0)
    }
}

impl fmt::Debug for PackedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes", self.0.len())
    }
}

impl fmt::Display for PackedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
