//! What can be wrong with a Redis.

use std::time::Duration;

/// Why a text is no [`RedisUrl`](super::RedisUrl).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the Redis URL {url}: {problem}; write redis://[:PASSWORD@]HOST[:PORT][/DB], rediss:// likewise for TLS, or redis+sentinel://[:PASSWORD@]HOST[:PORT],HOST[:PORT],.../MASTER[/DB]"
)]
pub struct RedisUrlError {
    /// The text, its password hidden.
    pub url: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Why Redis cannot be used. `url` never shows the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// No connection to the server, or it refused the first words.
    #[error("cannot connect to Redis at {url}: {source}{}", remedy(source))]
    Connect {
        /// Where.
        url: String,
        /// What the driver said.
        source: redis::RedisError,
    },
    /// The server did not answer in time.
    #[error(
        "Redis at {url} did not answer within {timeout:?}; see whether it is overloaded or its network drops packets"
    )]
    Silent {
        /// Where.
        url: String,
        /// How long it was waited.
        timeout: Duration,
    },
    /// The sentinels do not know the master.
    #[error("the sentinels of {url} watch no master of this name; check the name with SENTINEL MASTERS")]
    UnknownMaster {
        /// Where.
        url: String,
    },
    /// The sentinels name a server that is no master, as they may while they fail over.
    #[error(
        "the sentinels of {url} name {address} as master, but it is a {role}; if this lasts longer than a failover, look at SENTINEL CKQUORUM"
    )]
    NotMaster {
        /// Where.
        url: String,
        /// The server that they name.
        address: String,
        /// What it says of itself.
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
