//! Measures a cluster on this machine.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use twm_tests::bench::{
    self, Benchmark, ReplicaArguments, Settings, TrackerArguments, run_replica, run_tracker,
};

/// Measures a cluster on this machine and prints a table and a line of JSON for each benchmark.
///
/// `ops/bench` builds the measured programs with optimization and runs this one.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Benchmarks to run; all, if none is named.
    benchmarks: Vec<Benchmark>,
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// Run a tracker to be measured.
    #[command(hide = true)]
    Tracker(TrackerArguments),
    /// Run a replica's state to be measured.
    #[command(hide = true)]
    Replica(ReplicaArguments),
}

fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("twm-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { benchmarks, settings, role } = arguments;
    // tarpc warns about every connection that a killed node breaks.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn,tarpc=error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    match role {
        Some(Role::Tracker(arguments)) => return runtime.block_on(run_tracker(arguments)),
        Some(Role::Replica(arguments)) => return run_replica(&arguments),
        None => {}
    }
    runtime.block_on(async {
        // On a signal, the processes that it has started are still killed and their disks removed.
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            measured = bench::run(&benchmarks, &settings) => measured,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}
