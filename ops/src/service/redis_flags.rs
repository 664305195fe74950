//! The flag that says where Redis is.

use std::time::Duration;

use storage::redis::RedisUrl;

use super::ServiceEnd;

/// How long connecting and each answer may take.
pub const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// Where Redis is.
#[derive(Debug, clap::Args)]
pub struct RedisFlags {
    /// The Redis that the nodes mirror to, as [`RedisUrl`] reads it.
    // Read later than the other flags: clap's own errors would show the password.
    #[arg(long = "redis", value_name = "URL", env = "TWM_REDIS", hide_env_values = true)]
    #[arg(default_value = "redis://127.0.0.1:6379/0")]
    #[arg(
        help = "The Redis that the nodes mirror to: redis://[:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, or \
                  redis+sentinel://[:PASSWORD@]HOST[:PORT],.../MASTER[/DB]"
    )]
    url: String,
}

impl RedisFlags {
    /// The URL.
    ///
    /// # Errors
    /// It is none.
    pub fn url(&self) -> Result<RedisUrl, ServiceEnd> {
        RedisUrl::parse(&self.url).map_err(|error| ServiceEnd::Usage(format!("--redis: {error}")))
    }
}
