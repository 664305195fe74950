//! `twm-indexer`: the tweets that the crawl finds, in a search engine.
//!
//! ```text
//! Redis -> stream -> feed -> batch -> index: Elasticsearch, OpenSearch, or embedded (tantivy)
//!                                       |
//!                  web (HTTP) <- inspection
//! ```
//!
//! How far the stream was indexed is kept with what was indexed (`index::Progress`); a tweet's id is that of its
//! document. So nothing is missed and nothing is doubled, whichever process dies when.

mod batch;
mod dead;
mod embedded;
mod feed;
mod index;
mod inspection;
mod instant;
mod networks;
mod place;
mod question;
mod server;
mod tweet;
mod web;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use storage::dataset::SourceName;

use crate::service::{self, HttpFlags, RedisFlags, ServiceEnd};
use dead::DeadItems;
use embedded::EmbeddedIndex;
use feed::{Feed, FeedState};
use index::Index;
use server::{SearchServer, ServerUrl};

/// Indexes the tweets that the crawl finds into Elasticsearch or OpenSearch, or into an embedded index, and answers
/// what they look like over HTTP.
///
/// Runs until SIGTERM or Ctrl-C, and survives Redis and the search server going away. Exit codes: 0 well, 1 failed, 2
/// usage.
#[derive(Debug, Parser)]
#[command(name = "twm-indexer", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    redis: RedisFlags,
    /// The search server, as [`ServerUrl`] reads it.
    #[arg(long, value_name = "URL", env = "TWM_INDEXER_SERVER", hide_env_values = true)]
    #[arg(
        help = "The search server: http[s]://[USER:PASSWORD@]HOST[:PORT], port 9200 unless said; with a password \
                  better in TWM_INDEXER_SERVER"
    )]
    #[arg(required_unless_present = "embedded", conflicts_with = "embedded")]
    server: Option<String>,
    /// The source whose posts it indexes.
    #[arg(long, value_name = "NAME", env = "TWM_INDEXER_SOURCE", default_value = "twitter")]
    source: SourceName,
    /// The index at the search server; how far it is is kept in INDEX-position beside it [default: twm-tweets, and
    /// twm-tweets-NAME with --source].
    #[arg(long, value_name = "INDEX", env = "TWM_INDEXER_INDEX")]
    index: Option<String>,
    /// Keeps the index in a folder of this machine: no search server is needed.
    #[arg(long)]
    embedded: bool,
    /// The folder of the embedded index [default: twm-indexer-data, and twm-indexer-data-NAME with --source].
    #[arg(long, value_name = "DIR", env = "TWM_INDEXER_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Deletes and recreates the index, and reads the stream from its beginning.
    #[arg(long)]
    recreate: bool,
    /// Gets a line of JSON for each entry that cannot be indexed.
    #[arg(long, value_name = "FILE", env = "TWM_INDEXER_DEAD")]
    dead: Option<PathBuf>,
    /// Where it answers; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", env = "TWM_INDEXER_LISTEN", default_value = "127.0.0.1:9700")]
    listen: String,
    #[command(flatten)]
    http: HttpFlags,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    service::run("twm-indexer", Box::pin(run(cli)))
}

/// Start-up: the port first, which fails if another instance is running; then the index; then the feed.
async fn run(cli: Cli) -> Result<(), ServiceEnd> {
    let url = cli.redis.url()?;
    let server = server_url(&cli)?;
    let port = cli.http.open(&cli.listen).await?;
    let dead = DeadItems::open(cli.dead.as_deref()).map_err(ServiceEnd::Failed)?;
    let stop = service::stop_signal()?;
    let index = open_index(&cli, server).await?;
    let state = Arc::new(FeedState::default());
    tracing::info!("answering at {}/inspect, index {}", port.url(), index.name());

    let feed = Feed::new(url, &cli.source, index.clone(), dead, Arc::clone(&state));
    let fed = tokio::spawn(feed.run(stop.clone()));
    let served = tokio::spawn(port.serve(web::pages(index, cli.source, state), stop.clone()));
    // A failed index accepts nothing more: exit, so that a supervisor restarts the program.
    let fed = fed.await.map_err(ServiceEnd::failed)?;
    stop.cancel();
    served.await.map_err(ServiceEnd::failed)?;
    fed.map_err(ServiceEnd::failed)
}

/// Parsed here and not by clap, whose errors would show the password.
fn server_url(cli: &Cli) -> Result<Option<ServerUrl>, ServiceEnd> {
    let parse = |text: &String| ServerUrl::parse(text);
    cli.server
        .as_ref()
        .filter(|_| !cli.embedded)
        .map(parse)
        .transpose()
        .map_err(|error| ServiceEnd::Usage(format!("--server: {error}")))
}

async fn open_index(cli: &Cli, server: Option<ServerUrl>) -> Result<Index, ServiceEnd> {
    if let Some(url) = server {
        let name = cli.index.clone().unwrap_or_else(|| service::own(&cli.source, "twm-tweets"));
        let server = SearchServer::new(url, name, cli.recreate);
        return Ok(Index::Server(Arc::new(server.map_err(ServiceEnd::failed)?)));
    }
    let folder = cli.data_dir.clone().unwrap_or_else(|| service::own(&cli.source, "twm-indexer-data").into());
    let recreate = cli.recreate;
    let opened = tokio::task::spawn_blocking(move || EmbeddedIndex::open(&folder, recreate)).await;
    let index = opened.map_err(ServiceEnd::failed)?.map_err(ServiceEnd::failed)?;
    Ok(Index::Embedded(Arc::new(index)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_kind_of_index_is_chosen() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["twm-indexer"], words].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--embedded", "--server", "http://a"]).is_err());
        assert!(parse(&["--embedded"]).is_ok() && parse(&["--server", "http://a"]).is_ok());
    }
}
