//! Tools for operators: the command line of `twm-ctl`, and the streaming consumers.
//!
//! `ctl` talks to the cluster through the API's client, or reads a dataset through `storage`. The streaming
//! consumers read only Redis. Nothing here depends on nodes, sources or openraft.

pub mod ctl;
pub mod indexer;
pub mod lookup;
pub mod service;
pub mod stats;
pub mod stream;
