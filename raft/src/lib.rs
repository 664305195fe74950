//! The replicated job tracker: crawls, jobs, sessions and leases, agreed on by Raft.
//!
//! The crate has four layers, each knowing only those above it; what they speak about and how is [`api`]'s:
//!
//! - [`command`]: what the log carries.
//! - [`state`]: the deterministic state machine. Knows no clock, randomness, I/O or hash order.
//! - `consensus`: log, snapshots and network for openraft. openraft's types never leave it.
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

/// What the tracker speaks about: the contract with others, and the log's commands.
pub(crate) mod model {
    pub(crate) use api::model::*;

    pub(crate) use crate::command::*;
}
