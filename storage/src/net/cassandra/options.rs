//! Settings of a client.

use std::path::PathBuf;
use std::time::Duration;

use super::Login;

/// Whose certificates of servers are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system's authorities.
    System,
    /// Those of the authorities in a PEM file, and no others.
    File(PathBuf),
}

/// Who asks, and how long to wait.
#[derive(Debug, Clone)]
pub struct CassandraOptions {
    /// The user and the password, if the cluster wants them.
    pub login: Option<Login>,
    /// Connects with TLS. A server's certificate must name its IP address, by which the servers name each
    /// other.
    pub tls: Option<Trust>,
    /// Longest time to connect to one server.
    pub connect_timeout: Duration,
    /// Longest time from a request to its answer.
    pub timeout: Duration,
    /// How long after its beginning a request that failed may still be sent again.
    pub retry_for: Duration,
}

impl CassandraOptions {
    /// No login, no TLS; 3 s to connect, 10 s for an answer, 15 s for retries: after a longer absence of a server, the
    /// driver connects to it within 10 s.
    pub fn new() -> Self {
        Self {
            login: None,
            tls: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(15),
        }
    }
}

impl Default for CassandraOptions {
    fn default() -> Self {
        Self::new()
    }
}
