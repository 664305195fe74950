//! Support for tests of the whole system: external services, and a harness that injects faults into a
//! cluster.

pub mod bench;
pub mod bluesky_server;
pub mod browser;
pub mod carbon;
#[cfg(feature = "cassandra")]
pub mod cassandra_server;
pub mod certificates;
pub mod chaos;
pub mod cluster;
pub mod consumer;
pub mod emulator;
pub mod event_stream;
pub mod graphite_web;
#[cfg(feature = "hdfs")]
pub mod hdfs_server;
pub mod link;
pub mod power;
pub mod redis_server;
#[cfg(feature = "s3")]
pub mod s3_server;
pub mod search_server;
pub mod server_process;
#[cfg(debug_assertions)]
pub mod simulation;
