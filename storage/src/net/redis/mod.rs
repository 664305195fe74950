//! Locating and connecting to Redis: directly, over TLS, or through its sentinels.
//!
//! This module does not know what is written to Redis: the node mirrors into it, and the streaming consumers read.

mod connect;
mod error;
mod sentinel;
mod url;

pub use error::{RedisError, RedisUrlError};
pub use url::RedisUrl;
