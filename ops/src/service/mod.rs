//! Common parts of long-running services: Redis, log, shutdown.

mod http_flags;
mod redis_flags;
mod stop;

use std::process::ExitCode;

pub use http_flags::{HttpFlags, Served};
pub use redis_flags::{REDIS_TIMEOUT, RedisFlags};
pub use stop::stop_signal;
use storage::dataset::SourceName;

/// Bad settings.
const USAGE: u8 = 2;

/// How a service ended.
#[derive(Debug)]
pub enum ServiceEnd {
    /// A setting is wrong, for the given reason.
    Usage(String),
    /// It cannot continue, for the given reason.
    Failed(String),
}

impl ServiceEnd {
    /// For errors of which only the message matters.
    pub fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A default for a source: `name`, or `name-SOURCE` if it is not the default one.
pub fn own(source: &SourceName, name: &str) -> String {
    match source.is_default() {
        true => name.to_owned(),
        false => format!("{name}-{source}"),
    }
}

/// Starts logging to standard error; `RUST_LOG` sets the filter, by default `info`.
pub fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// Runs a service to its end: 0 if it was stopped, 1 if it failed, 2 for invalid settings.
pub fn run(name: &str, service: impl Future<Output = Result<(), ServiceEnd>>) -> ExitCode {
    start_log();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(service),
        Err(error) => Err(ServiceEnd::Failed(format!("starting the asynchronous runtime: {error}"))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServiceEnd::Usage(why)) => {
            eprintln!("{name}: {why}");
            ExitCode::from(USAGE)
        }
        Err(ServiceEnd::Failed(why)) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}
