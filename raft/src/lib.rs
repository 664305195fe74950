//! The replicated job tracker: crawls, jobs, sessions and leases, agreed on by Raft.
//!
//! The crate has four layers, each of which knows only those above it. [`api`] defines the data model and the
//! wire protocol.
//!
//! - [`command`]: the commands of the log.
//! - [`state`]: the deterministic state machine. It uses no clock, randomness, I/O or hash order.
//! - `consensus`: log, snapshots and network for openraft, whose types stay within it.
//! - [`server`]: the tracker as a running part of a node.

pub mod command;
mod consensus;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(test)]
#[path = "../../tests/golden/lines.rs"]
mod golden;
pub mod server;
#[cfg(debug_assertions)]
pub mod sim;
pub mod state;

pub(crate) use api::{client, wire};

/// The data model: that of the API and the log's commands.
pub(crate) mod model {
    pub(crate) use api::model::*;

    pub(crate) use crate::command::*;
}
