//! The messages that nodes, operators and tools exchange with the job tracker.
//!
//! - [`model`]: crawls, jobs, sessions, reports, queries and their answers, as plain data.
//! - [`wire`]: frames, the greeting and the calls.
//! - [`TrackerApi`]: the typed calls, whichever node serves them.
//! - [`client`]: the client of a cluster.
//! - [`documents`]: [`model`] as JSON, for `twm-ctl -o json` and the monitor.
//!
//! Architecture invariant: this crate knows neither Raft nor the state machine. A program that only talks to
//! a cluster depends on this crate and not on `raft`.

pub mod client;
pub mod documents;
pub mod model;
mod tracker;
pub mod wire;

pub use tracker::{Called, TrackerApi};
