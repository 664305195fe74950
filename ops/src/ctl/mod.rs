//! The command line of `twm-ctl`, and the dispatch of its commands.

mod certs;
mod check;
mod cluster;
mod completions;
mod crawl;
mod dataset;
mod error;
mod errors;
mod frontier;
mod health;
mod leader;
mod member;
mod node;
mod output;
mod progress;
pub mod render;
mod rolling_restart;
mod source;
mod status;
mod submit;
pub mod targets;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use api::wire::{self, Dial};
use clap::{Parser, Subcommand};
use storage::net::trust::{Trust, TrustFiles};

pub use cluster::Cluster;
pub use error::CtlError;
pub use output::{Format, Output};

/// Operates a twm crawler cluster.
///
/// Data goes to standard output, everything else to standard error. Exit codes: 0 well, 1 failed,
/// 2 usage, 4 cluster unreachable, 5 cluster unhealthy.
#[derive(Debug, Parser)]
#[command(name = "twm-ctl", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, clap::Args)]
struct Global {
    /// Nodes of the cluster; any of them will do, and the next one is used when one fails.
    #[arg(long, global = true, value_name = "HOST:PORT,...", value_delimiter = ',', env = "TWM_ENDPOINTS")]
    #[arg(default_value = "127.0.0.1:8000", value_parser = endpoint)]
    endpoints: Vec<String>,
    /// Output format.
    #[arg(short = 'o', long = "format", global = true, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Timeout of a call to the cluster, in seconds.
    #[arg(long, global = true, value_name = "S", env = "TWM_TIMEOUT", default_value = "10", value_parser = seconds)]
    timeout: Duration,
    #[command(flatten)]
    tls: Tls,
}

/// Certificates, for clusters that have them. Without all three the connection is plain; nothing falls back to that.
#[derive(Debug, clap::Args)]
struct Tls {
    /// Certificate of the cluster's authority.
    #[arg(long, global = true, value_name = "FILE", env = "TWM_TLS_CA")]
    tls_ca: Option<PathBuf>,
    /// The own certificate: an operator's, or a viewer's.
    #[arg(long, global = true, value_name = "FILE", env = "TWM_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, global = true, value_name = "FILE", env = "TWM_TLS_KEY")]
    tls_key: Option<PathBuf>,
}

impl Tls {
    /// Connects to nodes.
    fn dial(&self) -> Result<Arc<dyn Dial>, CtlError> {
        match (&self.tls_ca, &self.tls_cert, &self.tls_key) {
            (None, None, None) => Ok(Arc::new(wire::Tcp)),
            (Some(ca), Some(cert), Some(key)) => {
                let files = TrustFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
                let trust = Trust::load(files).map_err(|error| CtlError::Failed(error.to_string()))?;
                Ok(Arc::new(wire::Tls(trust)))
            }
            _ => Err(CtlError::Usage("TLS needs --tls-ca, --tls-cert and --tls-key".to_owned())),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Submit a list of accounts as a new crawl; prints the crawl's id.
    Submit(submit::Submit),
    /// Show nodes, sessions, addresses with their budgets, and crawls.
    Status(status::Status),
    /// Show and control crawls.
    #[command(subcommand)]
    Crawl(crawl::Crawl),
    /// List failed accounts, and put them back into the queue.
    #[command(subcommand)]
    Errors(errors::Errors),
    /// Export what a crawl discovered.
    #[command(subcommand)]
    Frontier(frontier::Frontier),
    /// Compare all replicas, and datasets with the state, while the cluster runs.
    Check(check::Check),
    /// Show each node's workers.
    Workers,
    /// Show, add and remove the cluster's members.
    #[command(subcommand)]
    Member(member::Member),
    /// Show and transfer the leadership.
    #[command(subcommand)]
    Leader(leader::Leader),
    /// Stop and start granting jobs to a node.
    #[command(subcommand)]
    Node(node::Node),
    /// Show the sources of the nodes, and check that they are reached.
    #[command(subcommand)]
    Source(source::Source),
    /// Restart one node after the other, without interrupting the cluster.
    RollingRestart(rolling_restart::RollingRestart),
    /// Make certificates for nodes, operators and viewers.
    #[command(subcommand)]
    Certs(certs::Certs),
    /// Read, repair, convert and merge crawled files.
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// Print a shell's completion script.
    Completions(completions::Completions),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if std::env::var_os("RUST_LOG").is_some() {
        crate::service::start_log();
    }
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !matches!(error, CtlError::ReaderGone) {
                output::note(format!("twm-ctl: {error}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<(), CtlError> {
    let output = Output { format: cli.global.format };
    let cluster = || {
        let dial = cli.global.tls.dial()?;
        Ok::<_, CtlError>(Cluster::new(dial, cli.global.endpoints.clone(), cli.global.timeout))
    };
    match &cli.command {
        Command::Completions(args) => args.run(),
        Command::Certs(verb) => verb.run(output),
        Command::Dataset(verb) => verb.run(output),
        Command::Submit(args) => on_cluster(args.run(&cluster()?, output)),
        Command::Status(args) => on_cluster(args.run(&cluster()?, output)),
        Command::Crawl(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Errors(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Frontier(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Check(args) => on_cluster(args.run(&cluster()?, output)),
        Command::Workers => on_cluster(workers::run(&cluster()?, output)),
        Command::Member(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Leader(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Node(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::Source(verb) => on_cluster(verb.run(&cluster()?, output)),
        Command::RollingRestart(args) => on_cluster(args.run(&cluster()?, output)),
    }
}

/// Runs a command that uses the cluster. Ctrl-C drops it where it waits, so that progress bars and partial
/// files are cleaned up; a command that can end successfully by Ctrl-C is polled first.
fn on_cluster(command: impl Future<Output = Result<(), CtlError>>) -> Result<(), CtlError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CtlError::io("starting the asynchronous runtime"))?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            result = command => result,
            _ = tokio::signal::ctrl_c() => Err(CtlError::Interrupted),
        }
    })
}

/// Checks the syntax of `HOST:PORT`; whether it exists shows when connecting.
fn endpoint(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT, like 127.0.0.1:8000".to_owned()),
    }
}

/// A time in seconds, possibly with a fraction: above zero and up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("expected seconds, above 0 and at most 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn endpoints_and_seconds_are_checked() {
        for good in ["a:1", "127.0.0.1:65535", "[::1]:8000"] {
            assert_eq!(endpoint(good).as_deref(), Ok(good));
        }
        for bad in ["a", "a:", ":1", "a:0", "a:65536", "a:b", ""] {
            assert!(endpoint(bad).is_err(), "{bad:?}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "NaN", "inf", "1e9", "x", ""] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn global_flags_can_follow_the_command() {
        let cli = Cli::try_parse_from(["twm-ctl", "status", "--endpoints", "a:1,b:2", "-o", "json"]).unwrap();
        assert_eq!(cli.global.endpoints, ["a:1", "b:2"]);
        assert_eq!(cli.global.format, Format::Json);
    }
}
