//! Clusters of real processes against the emulator: guarantees that hold under any fault.

mod away;
mod budgets;
#[cfg(feature = "cassandra")]
mod cassandra;
mod celebrity;
mod compression;
mod failover;
mod frozen;
mod golden;
#[cfg(feature = "hdfs")]
mod hdfs;
mod hostile;
mod lists;
mod money;
mod operations;
mod promise;
mod provenance;
mod refusals;
mod retention;
mod rolling;
#[cfg(feature = "s3")]
mod s3;
mod shares;
mod sharing;
mod slow_link;
mod sources;
mod stopping;
mod traversal;
mod trouble;
mod trust;
mod upgrade;
mod world;
