//! What several crates need of the network: who is trusted, a bounded HTTP port, the way to a Redis and what the mirror
//! keeps there, what clients trust in TLS, and secrets in files.

pub mod http_port;
pub mod mirrored;
pub mod redis;
pub mod secret;
pub mod tls;
pub mod trust;
