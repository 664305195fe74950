//! `twm-stats`: what the crawl does, as lines `label value unix_seconds`, live to Graphite and into a file.
//!
//! ```text
//! Redis -> watch -> live -+-> points_file (gzip)
//!                         +-> carbon (plain text)
//! points_file -> replay -> carbon
//! ```

mod carbon;
mod counters;
mod event;
mod points_file;
mod realtime;
mod replay;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::service::{self, RedisFlags, ServiceEnd};
use points_file::PointsFile;

/// Writes the crawl's counters, once a second, and its events to Graphite and to a file.
///
/// Runs until SIGTERM or Ctrl-C, and survives Redis and carbon going away. Exit codes: 0 well, 1 failed, 2 usage.
#[derive(Debug, Parser)]
#[command(name = "twm-stats", version, max_term_width = 100)]
#[command(group = clap::ArgGroup::new("to").args(["file", "carbon"]).multiple(true).required(true))]
struct Cli {
    #[command(flatten)]
    redis: RedisFlags,
    /// The file for all points: gzip, lines `label value unix_seconds`. It is continued where it ends.
    #[arg(long, value_name = "FILE", env = "TWM_STATS_FILE")]
    file: Option<PathBuf>,
    /// Carbon's plain-text port, usually 2003. While it is away its points are dropped and counted.
    #[arg(long, value_name = "HOST:PORT", env = "TWM_CARBON")]
    carbon: Option<String>,
    /// Send the points of a file to carbon, and end. Redis is not asked.
    #[arg(long, value_name = "FILE", requires = "carbon", conflicts_with = "file")]
    replay: Option<PathBuf>,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    service::run("twm-stats", Box::pin(run(cli)))
}

async fn run(cli: Cli) -> Result<(), ServiceEnd> {
    if let (Some(file), Some(carbon)) = (&cli.replay, &cli.carbon) {
        let (file, carbon) = (file.clone(), carbon.clone());
        let replayed = tokio::task::spawn_blocking(move || replay::replay(&file, &carbon)).await;
        let replayed = replayed.map_err(ServiceEnd::failed)?.map_err(ServiceEnd::failed)?;
        println!("{replayed}");
        return Ok(());
    }
    let url = cli.redis.url()?;
    let file = cli.file.as_deref().map(PointsFile::open).transpose().map_err(ServiceEnd::failed)?;
    let stop = service::stop_signal()?;
    realtime::run(url, file, cli.carbon, stop).await
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_points_must_go_somewhere() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["twm-stats", "--redis", "redis://a"]).is_err());
        assert!(Cli::try_parse_from(["twm-stats", "--replay", "f"]).is_err());
        assert!(Cli::try_parse_from(["twm-stats", "--replay", "f", "--carbon", "a:1"]).is_ok());
        assert!(Cli::try_parse_from(["twm-stats", "--file", "f", "--carbon", "a:1"]).is_ok());
    }
}
