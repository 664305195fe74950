//! The seen-set and the queue alone: speed and size at a million accounts and more.
//!
//! Each size is measured in its own process, which holds the state of a node's replica: the state and its
//! store on disk, filled by the commands of a submission, with a checkpoint after each second's worth of
//! accounts.

mod replica;

use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Settings;
use super::binaries;
use super::process::Process;
use super::report::Report;

/// Candidates per call: the number of list entries that an analysis reads at a time.
const BATCH: u64 = 5_000;

/// One of this many tested candidates is new.
const NEW_ONE_OF: u64 = 10;

/// Accounts between two checkpoints: one second's worth at the required speed.
const CHECKPOINT: u64 = 150_000;

/// Arguments of a replica process.
#[derive(Debug, clap::Args)]
pub struct ReplicaArguments {
    /// Accounts to hold.
    #[arg(long)]
    ids: u64,
    /// Whether the accounts also wait to be crawled.
    #[arg(long)]
    waiting: bool,
    /// Number of test runs.
    #[arg(long)]
    runs: u32,
    /// Its disk.
    #[arg(long)]
    disk: PathBuf,
}

/// What it found.
#[derive(Serialize, Deserialize)]
struct Found {
    /// Accounts added per second, without checkpoints.
    added: f64,
    /// The longest time that a checkpoint blocks applying while it collects changes, ms.
    freeze_ms: f64,
    /// The longest time to write a checkpoint, ms.
    write_ms: f64,
    /// For each run.
    tests: Vec<Tests>,
    /// Memory of the seen-set and of the queue in bytes, by their own accounting.
    seen_memory: f64,
    queue_memory: f64,
    /// Growth of the process's resident memory, including the store's cache.
    resident: f64,
    /// Bytes of the records of the seen-set and of the queue, and of the store's files.
    seen_records: f64,
    queue_records: f64,
    files: f64,
}

/// Membership tests of one run.
#[derive(Serialize, Deserialize)]
struct Tests {
    a_second: f64,
    /// Tests per second of CPU time, as on a core without other load.
    a_cpu_second: f64,
}

/// Measures all sizes. The process of a size repeats its tests once per run.
pub(super) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    report.setting("candidates a call", BATCH);
    report.setting("of them new, one of", NEW_ONE_OF);
    report.setting("ids between checkpoints", CHECKPOINT);
    report.setting("threads", 1);
    for &ids in &settings.ids {
        let seen = in_own_process(settings, ids, false).await?;
        let waiting = in_own_process(settings, ids, true).await?;
        let each = |bytes: f64| bytes / ids as f64;
        let size = millions(ids);
        for tests in &seen.tests {
            report.add(format!("{size} ids: membership tests"), "1/s", "1,000,000", tests.a_second);
            report.add(format!("{size} ids: membership tests"), "1/CPU-s", "", tests.a_cpu_second);
        }
        report.add(format!("{size} ids: added"), "ids/s", "", seen.added);
        report.add(format!("{size} ids: longest stop for a checkpoint"), "ms", "< 50", seen.freeze_ms);
        report.add(format!("{size} ids: longest write of a checkpoint"), "ms", "", seen.write_ms);
        report.add(format!("{size} ids: memory"), "B/id", "8", each(seen.seen_memory));
        report.add(format!("{size} ids: records on disk"), "B/id", "", each(seen.seen_records));
        report.add(format!("{size} ids: files on disk"), "B/id", "16", each(seen.files));
        report.add(
            format!("{size} ids: memory of the process"),
            "MiB resident",
            "",
            mebibytes(seen.resident),
        );
        report.add(format!("{size} waiting jobs: memory"), "B/job", "16", each(waiting.queue_memory));
        report.add(format!("{size} waiting jobs: records on disk"), "B/job", "", each(waiting.queue_records));
        let own = (waiting.files - seen.files).max(0.0);
        report.add(format!("{size} waiting jobs: files on disk, without the ids"), "B/job", "16", each(own));
        let what = format!("{size} waiting jobs: memory of the process, with the ids");
        report.add(what, "MiB resident", "", mebibytes(waiting.resident));
    }
    Ok(())
}

async fn in_own_process(settings: &Settings, ids: u64, waiting: bool) -> anyhow::Result<Found> {
    let disk = settings.disks()?;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let mut arguments = ["replica", "--ids", &ids.to_string(), "--runs", &settings.runs.to_string()]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(["--disk".to_owned(), text(&disk.path().join("state"))]);
    arguments.extend(waiting.then(|| "--waiting".to_owned()));
    let what = if waiting { "waiting jobs" } else { "ids" };
    eprintln!("  {} {what}", millions(ids));
    let log = disk.path().join("log");
    let mut process = Process::start("replica", &binaries::this()?, arguments, &log)?;
    let line = process.line_within(PATIENCE).await?;
    serde_json::from_str(&line).with_context(|| format!("the replica said {line:?}"))
}

/// Fills a replica, tests it, and prints the results. Blocks.
///
/// # Errors
/// The disk cannot be used, or the replica does not hold what was added.
pub fn run_replica(arguments: &ReplicaArguments) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&replica::run(arguments)?)?);
    Ok(())
}

/// Timeout of filling and testing: 100 M ids take some minutes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(1_800);

fn millions(ids: u64) -> String {
    if ids % 1_000_000 == 0 { format!("{} M", ids / 1_000_000) } else { ids.to_string() }
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}
