//! The replicated job tracker: crawls, jobs, sessions and leases, agreed on by Raft.
//!
//! The crate has four layers, each knowing only those above it:
//!
//! - [`model`]: what is spoken about. Plain data, the wire format of every layer below.
//! - [`state`]: the deterministic state machine. Knows no clock, randomness, I/O or hash order.
//! - `consensus`: log, snapshots and network for openraft. openraft's types never leave it.
//! - [`server`] and [`client`]: the tracker as a running part of a node, and its typed client.
//!
//! Beside them [`documents`] says what [`model`] shows as JSON.

pub mod client;
mod consensus;
pub mod documents;
#[cfg(fuzzing)]
pub mod fuzz;
pub mod model;
pub mod server;
pub mod state;
mod wire;
