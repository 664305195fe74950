//! Where a Redis is, and how it is reached: directly, over TLS, or through its sentinels.
//!
//! What is written to Redis and read from it is not known here: the node mirrors into it, the streaming consumers read.

mod connect;
mod error;
mod sentinel;
mod url;

pub use error::{RedisError, RedisUrlError};
pub use url::RedisUrl;
