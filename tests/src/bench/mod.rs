//! Benchmarks of a whole cluster: real processes, real disks, the loopback network.
//!
//! Each benchmark is one file that measures and adds to a `Report`; none of them passes or fails.

mod binaries;
mod cluster;
mod crawl;
mod failover;
mod idle;
mod latency;
mod lifecycles;
mod machine;
mod process;
mod report;
mod targets;
mod tracker_process;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

pub use tracker_process::{TrackerArguments, run_tracker};

use machine::Machine;
use report::Report;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Benchmark {
    /// Job lifecycles a second, each synced on a majority before its answer.
    Lifecycles,
    /// Round trips of a single client.
    Latency,
    /// The leader is killed: time until the next job is granted.
    Failover,
    /// Timelines and followers fetched by one node.
    Crawl,
    /// A cluster with nothing to do.
    Idle,
}

impl Benchmark {
    fn name(self) -> &'static str {
        match self {
            Self::Lifecycles => "lifecycles",
            Self::Latency => "latency",
            Self::Failover => "failover",
            Self::Crawl => "crawl",
            Self::Idle => "idle",
        }
    }
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// How often everything is measured anew.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Length of one measured stretch, in seconds.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Leaders killed in one run of `failover`.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub kills: u32,
    /// Replicas that `lifecycles` and `latency` are measured with.
    #[arg(long, value_delimiter = ',', default_value = "1,3", value_parser = clap::value_parser!(u64).range(1..=9))]
    pub replicas: Vec<u64>,
    /// Client nodes that `lifecycles` is measured with.
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub clients: Vec<u64>,
    /// Accounts whose timelines `crawl` fetches; ten times as many for followers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub users: u64,
    /// Folder for the nodes' disks; what is put there is removed again.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
}

impl Settings {
    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// A folder of its own for one cluster, removed when dropped.
    fn disks(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("twm-bench-").tempdir_in(&self.dir)?)
    }
}

/// Measures and prints: a table for people, then a line of JSON for programs, for each benchmark.
///
/// # Errors
/// When a process cannot be started or stops by itself, or the cluster does not serve.
pub async fn run(benchmarks: &[Benchmark], settings: &Settings) -> anyhow::Result<()> {
    for &benchmark in benchmarks {
        let machine = Machine::look(&settings.dir)?;
        let mut report = Report::new(benchmark.name());
        for run in 1..=settings.runs {
            eprintln!("{}: run {run} of {}", benchmark.name(), settings.runs);
            match benchmark {
                Benchmark::Lifecycles => lifecycles::measure(settings, &mut report).await?,
                Benchmark::Latency => latency::measure(settings, &mut report).await?,
                Benchmark::Failover => failover::measure(settings, &mut report).await?,
                Benchmark::Crawl => crawl::measure(settings, &mut report).await?,
                Benchmark::Idle => idle::measure(settings, &mut report).await?,
            }
        }
        print!("{}", report.table(&machine));
        println!("{}", report.json(&machine)?);
    }
    Ok(())
}
