//! What operators use: the command line of `twm-ctl`.
//!
//! Everything here talks to the cluster through `raft`'s client API, or reads a dataset through
//! `storage`. It knows nothing of nodes, sources or openraft.

pub mod ctl;
