//! Durable bytes, and the few things every layer above shares: time, randomness, account ids,
//! the way to a Redis, what clients trust in TLS, and a bounded HTTP port.
//!
//! This crate knows nothing of consensus, of crawls or of what is said over HTTP. Everything it does on a disk is
//! synchronous: callers on an async runtime move it to a blocking thread.

pub mod datadir;
pub mod dataset;
mod durable;
pub mod env;
mod folder_sync;
pub mod ids;
pub mod net;
pub mod planted;
pub mod snapshot;
pub mod state;

pub use durable::FileError;
