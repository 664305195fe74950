//! Chaos: random faults in a cluster of real processes on separate hosts.
//!
//! A host is a network namespace with a disk in memory. The hosts are connected by a bridge, to which the API (the
//! emulator), Redis and the operators are attached as well. A seed determines the faults and the requests of the
//! operators, so that runs with the same seed are similar but not identical: the timing of processes and of the
//! network varies.
//!
//! At the end everything is repaired, all crawls must end, and the state of the cluster is compared with the
//! acknowledged requests: accounts, files, events, API requests.

mod change;
mod clock;
mod fault;
mod hub;
mod inject;
mod ledger;
mod operators;
mod report;
mod site;
mod verdict;
mod world;

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use storage::planted::Bug;

/// Options of a run.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    version,
    about = "Lets everything happen to a cluster of real processes, and compares what it holds with what it acknowledged"
)]
pub struct Arguments {
    /// Minutes of faults; then everything is repaired and all crawls must end.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// End earlier, after this many faults.
    #[arg(long)]
    faults: Option<u64>,
    /// What draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Initial number of nodes; two more may be added.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=7))]
    nodes: u64,
    /// Mean time between two faults, in milliseconds.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(50..))]
    every: u64,
    /// Inject only these kinds of faults, by name, such as `Kill,CutNode`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Folder with the programs of an older build: nodes start with it and are upgraded one by one.
    #[arg(long, value_name = "FOLDER")]
    old: Option<PathBuf>,
    /// Plant a bug in all nodes, which must be found; their build needs debug assertions.
    #[arg(long, value_name = "NAME", value_parser = planted)]
    plant: Option<Bug>,
    /// Each node writes to its own folder instead of a shared one.
    #[arg(long)]
    local_output: bool,
    /// Whether this process already runs in its own network namespace.
    #[arg(long, hide = true)]
    inside: bool,
}

fn planted(name: &str) -> Result<Bug, String> {
    name.parse()
}

/// Runs the faults and prints the result; returns whether all checks passed.
///
/// # Errors
/// A required resource cannot be created, for example without root.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if !arguments.inside {
        return Err(enter()).context("starting unshare, which util-linux has");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(world::run(arguments))
}

/// Starts this program again, with the same arguments, in its own namespaces, so that everything it creates ends with
/// it.
fn enter() -> std::io::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.arg(own).args(std::env::args_os().skip(1)).arg("--inside").exec()
}
