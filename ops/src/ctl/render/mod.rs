//! Renders the cluster: tables for people, JSON for programs.

mod cluster;
mod columns;
mod crawls;
pub mod json;
mod money;
#[cfg(test)]
pub mod samples;
mod status;
mod units;

pub use cluster::{members, workers};
pub use columns::columns;
pub use crawls::{crawl_details, crawls, operations};
pub use status::{leaderless, status};
pub use units::{count, duration, millis, printable, rate};
