//! What operators use: the command line of `twm-ctl`, and the streaming consumers.
//!
//! `ctl` talks to the cluster through `raft`'s client API, or reads a dataset through `storage`. The
//! streaming consumers read Redis only. Nothing here knows of nodes, sources or openraft.

pub mod ctl;
pub mod indexer;
pub mod lookup;
pub mod service;
pub mod stats;
pub mod stream;
