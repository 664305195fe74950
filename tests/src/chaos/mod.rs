//! Chaos: a cluster of real processes on hosts of its own, to which everything happens that can.
//!
//! A host is a network namespace with a disk in memory; between the hosts is a bridge, where the API (the emulator),
//! Redis and the operators are too. A seed draws what happens and what operators ask for, so that a run is like another
//! one of the same seed, though not the same: processes and the network take their own time.
//!
//! In the end everything is repaired, all crawls have to end, and what the cluster holds is compared with what it
//! acknowledged: accounts, files, events, requests.

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

/// What is to happen.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    version,
    about = "Lets everything happen to a cluster of real processes, and compares what it holds with what it acknowledged"
)]
pub struct Arguments {
    /// Minutes in which things happen; then everything is repaired and all crawls have to end.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Ends earlier, once so many faults have happened.
    #[arg(long)]
    faults: Option<u64>,
    /// What draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Nodes at the beginning; two more may be added.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=7))]
    nodes: u64,
    /// Milliseconds between two faults, on average.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u64).range(50..))]
    every: u64,
    /// Only these kinds of faults, by their names, such as `Kill,CutNode`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A folder with the programs of an older build: nodes start with it, and are upgraded one by one.
    #[arg(long, value_name = "FOLDER")]
    old: Option<PathBuf>,
    /// Plants a bug in all nodes, which has to be found; their build has to have debug assertions.
    #[arg(long, value_name = "NAME", value_parser = planted)]
    plant: Option<Bug>,
    /// Each node writes to a folder of its own, in place of one that all share.
    #[arg(long)]
    local_output: bool,
    /// Whether this process has a network of its own already.
    #[arg(long, hide = true)]
    inside: bool,
}

fn planted(name: &str) -> Result<Bug, String> {
    name.parse()
}

/// Lets it happen, and prints what came of it; whether all is as it should be.
///
/// # Errors
/// Something that this needs cannot be made, as by anybody but root.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    if !arguments.inside {
        return Err(enter()).context("starting unshare, which util-linux has");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(world::run(arguments))
}

/// Starts this program again, with the same arguments, in namespaces of its own: whatever it makes ends with it.
fn enter() -> std::io::Error {
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error,
    };
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command.arg(own).args(std::env::args_os().skip(1)).arg("--inside").exec()
}
