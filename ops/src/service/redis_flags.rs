//! The flag with Redis' URL.

use std::path::PathBuf;
use std::time::Duration;

use storage::net::redis::RedisUrl;
use storage::net::secret;

use super::ServiceEnd;

/// Timeout of a connection and of each answer.
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
                  redis+sentinel://[:PASSWORD@]HOST[:PORT],.../MASTER[/DB], rediss+sentinel:// likewise"
    )]
    url: String,
    /// A file whose first line is the value of --redis
    #[arg(long, value_name = "FILE", env = "TWM_REDIS_FILE")]
    redis_file: Option<PathBuf>,
}

impl RedisFlags {
    /// The URL.
    ///
    /// # Errors
    /// It is invalid, or its file cannot be read.
    pub fn url(&self) -> Result<RedisUrl, ServiceEnd> {
        let Some(path) = &self.redis_file else {
            return RedisUrl::parse(&self.url)
                .map_err(|error| ServiceEnd::Usage(format!("--redis: {error}")));
        };
        let wrong = |what: String| ServiceEnd::Usage(format!("--redis-file {}: {what}", path.display()));
        let url = secret::first_line(path).map_err(|error| wrong(error.to_string()))?;
        RedisUrl::parse(&url).map_err(|error| wrong(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        redis: RedisFlags,
    }

    #[test]
    fn the_url_may_be_in_a_file_and_a_bad_one_never_shows_its_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("redis");
        let url = || Cli::try_parse_from(["x", "--redis-file", path.to_str().unwrap()]).unwrap().redis.url();
        assert!(matches!(url(), Err(ServiceEnd::Usage(why)) if why.contains("cannot be read")));
        std::fs::write(&path, "redis://:s3cret@10.0.0.9\n").unwrap();
        assert_eq!(url().unwrap().to_string(), "redis://:***@10.0.0.9:6379/0");
        std::fs::write(&path, "redis://:s3cret\n").unwrap();
        assert!(matches!(url(), Err(ServiceEnd::Usage(why)) if !why.contains("s3cret")));
    }
}
