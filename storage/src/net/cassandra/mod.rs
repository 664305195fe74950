//! A blocking client of one keyspace on a Cassandra cluster.
//!
//! It wraps the driver `scylla` and knows no table. Every request has a deadline, and its errors name the cluster and a
//! remedy.
//!
//! - Requests that may be repeated ([`Keyspace::rows`], [`Keyspace::write`]) are tried again for
//!   [`CassandraOptions::retry_for`] while the cluster is away or busy.
//! - A light transaction ([`Keyspace::transact`]) is sent once: after an error it may or may not have happened, or may
//!   still happen. The caller reads at SERIAL what is there, which finishes or excludes what the servers know of.
//! - All reads and writes are at QUORUM, unless a statement says otherwise.

mod client;
mod credentials;
mod error;
mod options;
mod servers;
mod threads;
mod tls;
mod tunnels;
mod url;

pub use client::{Keyspace, Page, Row, Statement, Transaction};
pub use credentials::{Login, LoginError};
pub use error::{CassandraError, CassandraProblem};
pub use options::{CassandraOptions, Trust};
pub use servers::ServerState;
pub use url::{CassandraUrl, CassandraUrlError, DEFAULT_PORT};
