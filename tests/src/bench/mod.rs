//! Benchmarks of a whole cluster: real processes, real disks, the loopback network.
//!
//! Each benchmark is one file that measures and adds to a `Report`. Its numbers do not decide whether it
//! passes; it fails if its counts differ from the cluster's final state.

mod accounts;
mod asker;
mod binaries;
mod celebrity;
mod changes;
mod cluster;
mod compression;
#[cfg(feature = "s3")]
mod copies;
mod crawl;
mod crew;
mod discoveries;
mod failover;
mod far;
mod full_load;
mod handover;
mod hosts;
mod idle;
mod install;
mod latency;
mod learners;
mod lifecycles;
mod machine;
mod membership;
mod mirror;
mod pauses;
mod peers;
mod process;
mod rate;
mod report;
mod responsiveness;
mod restart;
#[cfg(feature = "s3")]
mod store_places;
#[cfg(feature = "s3")]
mod stores;
mod targets;
mod tls;
mod tracker_process;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

pub use membership::{ReplicaArguments, run_replica};
pub use tracker_process::{TrackerArguments, run_tracker};

use machine::Machine;
use report::Report;

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Benchmark {
    /// Job lifecycles per second, each synced on a majority before its answer.
    Lifecycles,
    /// Round trips of a single client.
    Latency,
    /// New ids per second that analyses report, with half of the sent ids already known.
    Discoveries,
    /// Tests against the seen-set, and bytes per id and per waiting job.
    Membership,
    /// The leader is killed: time until the next job is granted.
    Failover,
    /// Distant nodes: lifecycles, a follower that lags, a leader that is killed.
    Far,
    /// Three voters and 22 learners.
    Learners,
    /// Planned leader changes at full load.
    Handover,
    /// Members added, replaced, moved and removed at half of full load.
    Changes,
    /// Lifecycles with and without TLS.
    Tls,
    /// Operator calls and pauses in grants at full load.
    Responsiveness,
    /// A killed node with a large frontier: time until it serves again.
    Restart,
    /// An empty node joins a cluster with a large frontier.
    Install,
    /// Timelines and followers fetched by one node.
    Crawl,
    /// Timelines with each compression of the dataset.
    Compression,
    /// The same timelines on files and in a store.
    #[cfg(feature = "s3")]
    Stores,
    /// `celebrity` on files and in each store.
    #[cfg(feature = "s3")]
    CelebrityStores,
    /// A dataset copied to each store and back by `twm-ctl dataset copy`, and by the stores' own tools; `ops/bench` installs
    /// them.
    #[cfg(feature = "s3")]
    Copies,
    /// The same crawl without and with a mirror in Redis.
    Mirror,
    /// One account with very many followers: memory of the node that fetches and analyses them.
    Celebrity,
    /// Accounts of thousands of hosts, of which some hang.
    Hosts,
    /// An idle cluster.
    Idle,
    /// etcd, Redis and Scrapy in comparison with this project; `ops/bench --peers` installs them.
    Peers,
}

impl Benchmark {
    fn name(self) -> &'static str {
        match self {
            Self::Lifecycles => "lifecycles",
            Self::Latency => "latency",
            Self::Discoveries => "discoveries",
            Self::Membership => "membership",
            Self::Failover => "failover",
            Self::Far => "far",
            Self::Learners => "learners",
            Self::Handover => "handover",
            Self::Changes => "changes",
            Self::Tls => "tls",
            Self::Responsiveness => "responsiveness",
            Self::Restart => "restart",
            Self::Install => "install",
            Self::Crawl => "crawl",
            Self::Compression => "compression",
            #[cfg(feature = "s3")]
            Self::Stores => "stores",
            #[cfg(feature = "s3")]
            Self::CelebrityStores => "celebrity-stores",
            #[cfg(feature = "s3")]
            Self::Copies => "copies",
            Self::Mirror => "mirror",
            Self::Celebrity => "celebrity",
            Self::Hosts => "hosts",
            Self::Idle => "idle",
            Self::Peers => "peers",
        }
    }

    /// Whether the benchmark performs its runs itself, on a setup shared by all of them.
    fn repeats(self) -> bool {
        matches!(self, Self::Membership | Self::Restart | Self::Install)
    }

    /// Whether the benchmark has to be named: it takes long, or runs programs that this project does not install for its
    /// tests.
    fn has_to_be_named(self) -> bool {
        #[cfg(feature = "s3")]
        if matches!(self, Self::Copies | Self::CelebrityStores) {
            return true;
        }
        self == Self::Peers
    }

    async fn measure(self, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Lifecycles => lifecycles::measure(settings, report).await,
            Self::Latency => latency::measure(settings, report).await,
            Self::Discoveries => discoveries::measure(settings, report).await,
            Self::Membership => membership::measure(settings, report).await,
            Self::Failover => failover::measure(settings, report).await,
            Self::Far => far::measure(settings, report).await,
            Self::Learners => learners::measure(settings, report).await,
            Self::Handover => handover::measure(settings, report).await,
            Self::Changes => changes::measure(settings, report).await,
            Self::Tls => tls::measure(settings, report).await,
            Self::Responsiveness => responsiveness::measure(settings, report).await,
            Self::Restart => restart::measure(settings, report).await,
            Self::Install => install::measure(settings, report).await,
            Self::Crawl => crawl::measure(settings, report).await,
            Self::Compression => compression::measure(settings, report).await,
            #[cfg(feature = "s3")]
            Self::Stores => stores::measure(settings, report).await,
            #[cfg(feature = "s3")]
            Self::CelebrityStores => celebrity::measure_stores(settings, report).await,
            #[cfg(feature = "s3")]
            Self::Copies => copies::measure(settings, report).await,
            Self::Mirror => mirror::measure(settings, report).await,
            Self::Celebrity => celebrity::measure(settings, report).await,
            Self::Hosts => hosts::measure(settings, report).await,
            Self::Idle => idle::measure(settings, report).await,
            Self::Peers => peers::measure(settings, report).await,
        }
    }
}

/// How to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Number of repetitions of each benchmark.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Length of one measurement, in seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,
    /// Leaders killed in one run of `failover`; 100 in the table in ops/docs/benchmarks.md.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub kills: u32,
    /// Leader changes of each kind in one run of `handover`.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub handovers: u32,
    /// Numbers of ids to measure `membership` with; the table in ops/docs/benchmarks.md also has 100000000.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub ids: Vec<u64>,
    /// Users in the frontier of `restart` and `install`.
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(50_000..=1_000_000_000))]
    pub frontier: u64,
    /// Numbers of replicas to measure `lifecycles`, `latency` and `discoveries` with.
    #[arg(long, value_delimiter = ',', default_value = "1,3", value_parser = clap::value_parser!(u64).range(1..=9))]
    pub replicas: Vec<u64>,
    /// Numbers of client nodes to measure `lifecycles` with.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16", value_parser = clap::value_parser!(u64).range(1..=256))]
    pub clients: Vec<u64>,
    /// Accounts whose timelines `crawl` fetches; followers are fetched of ten times as many.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub users: u64,
    /// Followers of the account in `celebrity`; 10000000 in the table in ops/docs/benchmarks.md.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub followers: u64,
    /// Hosts in `hosts`.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub hosts: u32,
    /// Measure everything, including etcd, Redis and Scrapy for comparison.
    #[arg(long)]
    pub peers: bool,
    /// Folder in which `tests/peers/install` has put the peers' programs.
    #[arg(long, value_name = "DIR", default_value = ".cache/peers")]
    pub peers_folder: PathBuf,
    /// Folder for the nodes' disks, which are removed afterwards.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
}

impl Settings {
    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// A new folder for one cluster, removed when dropped.
    fn disks(&self) -> anyhow::Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("twm-bench-").tempdir_in(&self.dir)?)
    }
}

/// Measures and prints a table and a line of JSON for each named benchmark, or, if none is named, for all that do not have to
/// be.
///
/// # Errors
/// A process cannot be started or stops by itself, or the cluster does not serve.
pub async fn run(named: &[Benchmark], settings: &Settings) -> anyhow::Result<()> {
    let all = Benchmark::value_variants().iter().copied().filter(|one| !one.has_to_be_named());
    let mut benchmarks = if named.is_empty() { all.collect() } else { named.to_vec() };
    if settings.peers && !benchmarks.contains(&Benchmark::Peers) {
        benchmarks.push(Benchmark::Peers);
    }
    for benchmark in benchmarks {
        let machine = Machine::look(&settings.dir)?;
        let mut report = Report::new(benchmark.name());
        let runs = if benchmark.repeats() { 1 } else { settings.runs };
        for run in 1..=runs {
            eprintln!("{}: run {run} of {runs}", benchmark.name());
            benchmark.measure(settings, &mut report).await?;
        }
        print!("{}", report.table(&machine));
        println!("{}", report.json(&machine)?);
    }
    Ok(())
}
