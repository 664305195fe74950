//! Durable storage, and what every layer above shares: time, randomness, account ids, connections to Redis, TLS for
//! clients, and a bounded HTTP port.
//!
//! This crate knows nothing of consensus, of crawls or of what is served over HTTP. All its disk work is synchronous:
//! callers on an async runtime move it to a blocking thread.

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
pub mod text;

pub use durable::FileError;
