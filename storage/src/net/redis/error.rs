//! Errors of connections to Redis.

use std::time::Duration;

/// Why a text is not a [`RedisUrl`](super::RedisUrl).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Redis URL {url}: {problem}; write redis://[:PASSWORD@]HOST[:PORT][/DB], rediss:// likewise for TLS, or redis+sentinel://[:PASSWORD@]HOST[:PORT],HOST[:PORT],.../MASTER[/DB]"
)]
pub struct RedisUrlError {
    /// The text, without its password.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Why Redis cannot be used. `url` never contains the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No connection, or the server refused the login.
    #[error("cannot connect to Redis at {url}: {source}{}", remedy(source))]
    Connect {
        /// Where.
        url: String,
        /// The error of the driver.
        source: redis::RedisError,
    },
    /// The server did not answer in time.
    #[error(
        "Redis at {url} did not answer within {timeout:?}; see whether it is overloaded or its network drops packets"
    )]
    Silent {
        /// Where.
        url: String,
        /// The timeout.
        timeout: Duration,
    },
    /// The sentinels do not know the master.
    #[error("the sentinels of {url} watch no master of this name; check the name with SENTINEL MASTERS")]
    UnknownMaster {
        /// Where.
        url: String,
    },
    /// The sentinels name a server that is not a master, as they may during a failover.
    #[error(
        "the sentinels of {url} name {address} as master, but it is a {role}; if this lasts longer than a failover, look at SENTINEL CKQUORUM"
    )]
    NotMaster {
        /// Where.
        url: String,
        /// The server that they name.
        address: String,
        /// The role that it reports.
        role: String,
    },
}

fn remedy(source: &redis::RedisError) -> &'static str {
    match source.code() {
        Some("NOAUTH") => "; put its password into the URL",
        Some("WRONGPASS") => "; check the password in the URL",
        Some("NOPERM") => "; allow the user of the URL these commands",
        _ if source.kind() == redis::ErrorKind::AuthenticationFailed => "; check the password in the URL",
        _ if source.to_string().contains("peer certificate") => {
            "; add its authority to the system's certificates, or name the authority's file in SSL_CERT_FILE"
        }
        _ if source.is_io_error() => "; check that it runs and that host and port are right",
        _ => "",
    }
}
