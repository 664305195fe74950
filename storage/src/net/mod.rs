//! Networking shared by several crates: mutual TLS, a bounded HTTP port, connections to Redis and the names of what
//! is mirrored there, clients of HDFS, S3 and Cassandra, TLS for clients, and secrets in files.

#[cfg(feature = "cassandra")]
pub mod cassandra;
#[cfg(feature = "hdfs")]
pub mod hdfs;
pub mod http_port;
pub mod mirrored;
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
pub mod secret;
pub mod tls;
pub mod trust;
