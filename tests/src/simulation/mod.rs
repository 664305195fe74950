//! Simulates many seeds, and reports the results.

mod dataset;
mod mirror;
mod network;
mod node_workers;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use raft::sim::{Fault, JobPlace, Outcome, Plan, STEP, Workforce, simulate};
use storage::env::{Clock, SystemClock};
use storage::planted::{Bug, plant};

use node_workers::NodeWorkers;

/// In one world in this many the workers are those of real nodes; they cost more than model workers.
const NODE_WORKERS_EVERY: u64 = 5;

/// Folder for the files of a simulation, if it exists: in memory, where a sync costs nothing.
const IN_MEMORY: &str = "/dev/shm";

/// Runs with fewer steps are not shortened.
const SHORTEST: u64 = 50;

/// Most runs for shrinking a failure.
const MOST_TRIES: u32 = 60;

/// Messages shown of a failing run.
const SHOWN: usize = 20;

/// What to simulate.
#[derive(Debug, Clone, clap::Parser)]
#[command(version, about = "Simulates clusters in one thread each, deterministic by seed, with faults")]
pub struct Arguments {
    /// Number of seeds; by default 20, or the one that is given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Steps with faults, of 10 ms each; then everything is healed and all crawls have to end.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// Nodes; 0: three, five or seven by seed.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=7))]
    nodes: u64,
    /// Plants a bug, which has to be found: the command fails if no seed does. `all` plants one after the other.
    #[arg(long, value_name = "NAME")]
    plant: Option<String>,
    /// Faults to skip, by number: printed for a failing run that was shrunk.
    #[arg(long, value_delimiter = ',', value_name = "N,...")]
    without: Vec<u64>,
    /// Writes all messages and actions of one seed to this file.
    #[arg(long, value_name = "FILE", requires = "seed")]
    trace: Option<PathBuf>,
    /// Seeds at once.
    #[arg(long, default_value_t = thread::available_parallelism().map_or(1, usize::from))]
    jobs: usize,
}

/// Runs the simulations and prints the results; returns whether everything was as it should be.
///
/// # Errors
/// An unknown bug, or no folder for the files of nodes.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let bugs: Vec<Bug> = match arguments.plant.as_deref() {
        None => {
            plant(None);
            return run_seeds(arguments);
        }
        Some("all") => Bug::ALL.to_vec(),
        Some(name) => vec![name.parse().map_err(anyhow::Error::msg)?],
    };
    // openraft stops a node by a panic, which the simulation detects; its backtrace is useless.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    for bug in &bugs {
        plant(Some(*bug));
        match first_failure(arguments)? {
            Some((outcome, plan, tried)) => {
                println!("{bug}: found with seed {}, the {tried}. one: {}", plan.seed, told(&outcome));
            }
            None => {
                println!(
                    "{bug}: not found in {} seeds of {} steps",
                    arguments.seeds().count(),
                    arguments.steps
                );
                missed.push(bug.name());
            }
        }
    }
    println!("{} of {} planted bugs found{}", bugs.len() - missed.len(), bugs.len(), list(&missed));
    Ok(missed.is_empty())
}

fn list(missed: &[&str]) -> String {
    if missed.is_empty() { String::new() } else { format!("; missed: {}", missed.join(", ")) }
}

fn told(outcome: &Outcome) -> &str {
    outcome.failure.as_deref().unwrap_or("nothing broke")
}

impl Arguments {
    fn seeds(&self) -> std::ops::Range<u64> {
        let first = self.seed.unwrap_or(1);
        let count = self.seeds.unwrap_or(if self.seed.is_some() { 1 } else { 20 });
        first..first.saturating_add(count)
    }

    fn plan(&self, seed: u64, steps: u64, without: &BTreeSet<u64>, folder: &tempfile::TempDir) -> Plan {
        let nodes = match (self.nodes, seed % 10) {
            (0, 0) => 7,
            (0, 1..4) => 5,
            (0, _) => 3,
            (nodes, _) => nodes,
        };
        let (without, trace) = (without.clone(), self.trace.clone());
        let workers =
            || Arc::new(NodeWorkers::new(seed, folder.path().join("outputs"))) as Arc<dyn Workforce>;
        let workforce = (seed % NODE_WORKERS_EVERY == 0).then(workers);
        Plan { seed, nodes, steps, folder: folder.path().to_owned(), without, trace, workforce }
    }

    /// Simulates one seed.
    fn simulate(&self, seed: u64, steps: u64, without: &BTreeSet<u64>) -> anyhow::Result<(Outcome, Plan)> {
        let memory = Path::new(IN_MEMORY);
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.context("a folder for the simulated nodes")?;
        let plan = self.plan(seed, steps, without, &folder);
        let outcome = catch_unwind(AssertUnwindSafe(|| simulate(&plan))).unwrap_or_else(|panic| {
            let why = panic.downcast_ref::<String>().cloned();
            let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
            Outcome::panicked(why.unwrap_or_default())
        });
        Ok((outcome, plan))
    }

    /// Simulates the seeds, several at once, until `look` returns false.
    fn each(&self, look: impl Fn(Outcome, Plan) -> bool + Sync) -> anyhow::Result<()> {
        let (seeds, next) = (self.seeds(), AtomicU64::new(0));
        let without = self.without.iter().copied().collect();
        let work = || {
            loop {
                let seed = seeds.start + next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return Ok(());
                }
                let (outcome, plan) = self.simulate(seed, self.steps, &without)?;
                if !look(outcome, plan) {
                    next.store(u64::MAX / 2, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
        })
    }
}

/// The first seed that fails, and the number of seeds tried.
fn first_failure(arguments: &Arguments) -> anyhow::Result<Option<(Outcome, Plan, u64)>> {
    let (found, tried) = (Mutex::new(None), AtomicU64::new(0));
    arguments.each(|outcome, plan| {
        let tried = tried.fetch_add(1, Ordering::Relaxed) + 1;
        if outcome.failure.is_none() {
            return true;
        }
        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        found.get_or_insert((outcome, plan, tried));
        false
    })?;
    Ok(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    simulated: Duration,
    calls: u64,
    crawls: u64,
    accounts: u64,
    /// Sum of the digests of all traces: equal for two runs with the same seeds.
    digest: u64,
    faults: BTreeMap<Fault, u64>,
    met: BTreeMap<(Fault, JobPlace), u64>,
    broken: Vec<(Outcome, Plan)>,
}

fn run_seeds(arguments: &Arguments) -> anyhow::Result<bool> {
    let clock = SystemClock::new();
    let totals = Mutex::new(Totals::default());
    arguments.each(|outcome, plan| {
        let mut totals = totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        totals.seeds += 1;
        totals.simulated += outcome.simulated;
        totals.calls += outcome.calls;
        totals.crawls += outcome.crawls;
        totals.accounts += outcome.accounts;
        totals.digest = totals.digest.wrapping_add(outcome.digest.digest.into());
        for (fault, count) in &outcome.faults {
            *totals.faults.entry(*fault).or_default() += count;
        }
        for (met, count) in &outcome.met {
            *totals.met.entry(*met).or_default() += count;
        }
        if outcome.failure.is_some() {
            totals.broken.push((outcome, plan));
        }
        true
    })?;
    let totals = totals.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = clock.monotonic().as_secs_f64();
    println!(
        "{} seeds of {} steps ({} s each, and the time to end): {:.2} seeds/s, {:.0} simulated s/s",
        totals.seeds,
        arguments.steps,
        (STEP * arguments.steps as u32).as_secs_f64(),
        totals.seeds as f64 / seconds,
        totals.simulated.as_secs_f64() / seconds
    );
    println!(
        "{} calls of operators were answered, {} crawls ended with {} accounts; traces {:x}",
        totals.calls, totals.crawls, totals.accounts, totals.digest
    );
    totals.show_coverage();
    for (outcome, plan) in &totals.broken {
        show(arguments, outcome, plan)?;
    }
    println!("{} of {} seeds broke", totals.broken.len(), totals.seeds);
    Ok(totals.broken.is_empty())
}

/// The places of jobs, and their names in the table.
const PLACES: [(JobPlace, &str); 6] = [
    (JobPlace::Nowhere, "none"),
    (JobPlace::Queued, "queued"),
    (JobPlace::Ready, "ready"),
    (JobPlace::Leased, "leased"),
    (JobPlace::Publishing, "publishing"),
    (JobPlace::Delayed, "delayed"),
];

impl Totals {
    /// Prints how often each fault happened, and where jobs were at the time.
    fn show_coverage(&self) {
        let names: Vec<_> = PLACES.iter().map(|(_, name)| format!("{name:>11}")).collect();
        println!("{:16} {:>7}  while there were jobs: {}", "fault", "times", names.concat());
        let mut missed = Vec::new();
        for fault in Fault::all() {
            let times = self.faults.get(&fault).copied().unwrap_or_default();
            let cell = |(place, name): &(JobPlace, &str)| {
                let count = self.met.get(&(fault, *place)).copied().unwrap_or_default();
                if count == 0 {
                    missed.push(format!("{fault:?}/{name}"));
                }
                format!("{count:>11}")
            };
            let cells: Vec<_> = PLACES.iter().map(cell).collect();
            println!("{:16} {times:7}                        {}", format!("{fault:?}"), cells.concat());
        }
        println!("not reached: {}", if missed.is_empty() { "nothing".to_owned() } else { missed.join(", ") });
    }
}

/// Prints the failure, how to repeat it, and the actions in the shortest run that fails with the same seed.
fn show(arguments: &Arguments, outcome: &Outcome, plan: &Plan) -> anyhow::Result<()> {
    println!("\nseed {}: {}", plan.seed, told(outcome));
    // The trace stays that of the requested run.
    let arguments = &Arguments { trace: None, ..arguments.clone() };
    let (mut shortest, mut steps) = (outcome.clone(), arguments.steps);
    let mut without: BTreeSet<u64> = arguments.without.iter().copied().collect();
    let mut least = 0;
    while steps > SHORTEST && steps - least > SHORTEST {
        let middle = least + (steps - least) / 2;
        let (shorter, _) = arguments.simulate(plan.seed, middle, &without)?;
        match shorter.failure {
            Some(_) => (shortest, steps) = (shorter, middle),
            None => least = middle,
        }
    }
    // Skips faults in ever smaller groups, as long as the run still fails.
    let mut tries = 0;
    let mut size = shortest.drawn.div_ceil(2);
    while size > 0 && tries < MOST_TRIES {
        let mut from = 0;
        while from < shortest.drawn && tries < MOST_TRIES {
            let group: BTreeSet<u64> = (from..from + size).filter(|n| !without.contains(n)).collect();
            from += size;
            if group.is_empty() {
                continue;
            }
            tries += 1;
            let fewer: BTreeSet<u64> = without.union(&group).copied().collect();
            let (calmer, _) = arguments.simulate(plan.seed, steps, &fewer)?;
            if calmer.failure.is_some() {
                (shortest, without) = (calmer, fewer);
            }
        }
        size /= 2;
    }
    let left_out: Vec<_> = without.iter().map(u64::to_string).collect();
    let left_out = match left_out.is_empty() {
        true => String::new(),
        false => format!(" --without {}", left_out.join(",")),
    };
    println!("again: ops/simulate --seed {} --steps {steps} --nodes {}{left_out}", plan.seed, plan.nodes);
    println!("{}", told(&shortest));
    shortest.deeds.iter().for_each(|deed| println!("  {deed}"));
    println!("the last messages:");
    let messages = &shortest.messages;
    messages[messages.len().saturating_sub(SHOWN)..].iter().for_each(|message| println!("  {message}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_own_workers_give_the_same_trace_twice() {
        let seed = 2 * NODE_WORKERS_EVERY;
        let arguments = Arguments {
            seeds: None,
            seed: Some(seed),
            steps: 2_000,
            nodes: 3,
            plant: None,
            without: Vec::new(),
            trace: None,
            jobs: 1,
        };
        let simulate = |seed| arguments.simulate(seed, arguments.steps, &BTreeSet::new()).unwrap().0;
        let (once, again) = (simulate(seed), simulate(seed));
        assert_eq!(once.failure, None, "{}", once.deeds.join("\n"));
        assert!(once.accounts > 100, "{} accounts", once.accounts);
        assert_eq!(once.digest, again.digest);
        assert_eq!(once.deeds, again.deeds);
        assert_ne!(once.digest, simulate(seed + NODE_WORKERS_EVERY).digest);
    }
}
