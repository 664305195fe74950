//! The replicated job tracker: crawls, jobs, sessions and leases, agreed on by Raft.
//!
//! The crate has three layers, each knowing only those above it; what they speak about and how is [`api`]'s:
//!
//! - [`state`]: the deterministic state machine. Knows no clock, randomness, I/O or hash order.
//! - `consensus`: log, snapshots and network for openraft. openraft's types never leave it.
//! - [`server`]: the tracker as a running part of a node.

mod consensus;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod server;
pub mod state;

pub(crate) use api::{client, model, wire};
