//! `twm-lookup`: the profiles that the crawl has seen, by id and by name.
//!
//! ```text
//! Redis -> feed (stream, or channel) -+
//!                                     +-> store (sled) -> web (HTTP)
//! POST /lookup/add -------------------+
//! ```

mod feed;
mod profile;
mod redis_time;
mod store;
mod web;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use storage::dataset::SourceName;
use storage::state::SledStore;

use crate::service::{self, HttpFlags, RedisFlags, ServiceEnd};
use feed::Feed;
use redis_time::RedisTime;
use store::Profiles;

/// Keeps the profiles that the crawl has seen, and answers them by id and by name over HTTP.
///
/// Runs until SIGTERM or Ctrl-C, and survives Redis going away. Exit codes: 0 well, 1 failed, 2 usage.
#[derive(Debug, Parser)]
#[command(name = "twm-lookup", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    redis: RedisFlags,
    /// Where it answers; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", env = "TWM_LOOKUP_LISTEN", default_value = "127.0.0.1:9797")]
    listen: String,
    #[command(flatten)]
    http: HttpFlags,
    /// The folder of the profiles [default: twm-lookup-data, and twm-lookup-data-NAME with --source].
    #[arg(long, value_name = "DIR", env = "TWM_LOOKUP_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// The source whose profiles it keeps.
    #[arg(long, value_name = "NAME", env = "TWM_LOOKUP_SOURCE", default_value = "twitter")]
    source: SourceName,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    service::run("twm-lookup", Box::pin(run(cli)))
}

/// Start-up: the port first, which fails if another instance is running; then the profiles; then the feed.
async fn run(cli: Cli) -> Result<(), ServiceEnd> {
    let url = cli.redis.url()?;
    let port = cli.http.open(&cli.listen).await?;
    let folder = cli.data_dir.unwrap_or_else(|| service::own(&cli.source, "twm-lookup-data").into());
    let (opened, source) = (folder.clone(), cli.source.clone());
    let opened =
        tokio::task::spawn_blocking(move || Profiles::open(Arc::new(SledStore::open(&opened)?), &source));
    let profiles = opened.await.map_err(ServiceEnd::failed)?.map_err(ServiceEnd::failed)?;
    let profiles = Arc::new(profiles);
    let time = Arc::new(RedisTime::new());
    let stop = service::stop_signal()?;
    tracing::info!("answering at {}/lookup/, profiles of {} in {}", port.url(), cli.source, folder.display());

    let feed = Feed::new(url, &cli.source, Arc::clone(&profiles), Arc::clone(&time));
    let fed = tokio::spawn(feed.run(stop.clone()));
    let served = tokio::spawn(port.serve(web::pages(profiles, time), stop.clone()));
    // A failed store accepts nothing more: exit, so that a supervisor restarts the program.
    let fed = fed.await.map_err(ServiceEnd::failed)?;
    stop.cancel();
    served.await.map_err(ServiceEnd::failed)?;
    fed.map_err(ServiceEnd::failed)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
