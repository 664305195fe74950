//! Networking shared by several crates: mutual TLS, a bounded HTTP port, connections to Redis and the names of what
//! is mirrored there, a client of S3, TLS for clients, and secrets in files.

pub mod http_port;
pub mod mirrored;
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
pub mod secret;
pub mod tls;
pub mod trust;
