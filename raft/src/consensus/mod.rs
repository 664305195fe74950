//! openraft with its log, snapshots and network. openraft's types do not appear outside this module, except
//! in [`crate::server`].

mod acknowledged;
mod append_stream;
mod digests;
pub(crate) mod forced;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
#[cfg(test)]
mod golden;
mod log_check;
mod log_codec;
mod log_store;
mod machine;
mod messages;
mod peers;
mod raft_network;
mod runtime;
mod snapshots;
#[cfg(test)]
mod suite;
mod types;
mod wal_log;

#[cfg(debug_assertions)]
pub(crate) use log_store::{Done, LogDisk, LogMarks};
pub(crate) use log_store::{Folders, LogHome, LogStore};
pub(crate) use machine::{Machine, Replica, ReplicaError};
pub(crate) use messages::RaftMessage;
pub(crate) use peers::Peers;
pub(crate) use raft_network::Network;
#[cfg(debug_assertions)]
pub(crate) use runtime::seed_this_thread;
pub(crate) use snapshots::SnapshotInbox;
#[cfg(debug_assertions)]
pub(crate) use types::{Entry, Payload, Vote};
pub(crate) use types::{LogId, Member, PackedCommand, Raft, ServerMetrics, StoredMembership};
