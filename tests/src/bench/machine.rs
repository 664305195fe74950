//! The machine that the benchmarks ran on.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::time::Instant;

/// Number of syncs of which the median is shown.
const SYNCS: usize = 200;

/// The machine.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Median time to append 4 KiB to a file and sync it, in microseconds.
    sync_us: f64,
    /// Average number of running or runnable processes in the minute before the measurement; other processes
    /// slow the benchmark down.
    load: f64,
}

impl Machine {
    /// Examines this machine and the disk of a folder.
    pub(super) fn look(dir: &Path) -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let cpus = read("/proc/cpuinfo")?;
        let model = cpus.lines().find(|line| line.starts_with("model name"));
        let cpu = model.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
        let load = read("/proc/loadavg")?;
        let load = load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        Ok(Self {
            cpu: cpu.to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            sync_us: sync_time(dir)?.as_secs_f64() * 1e6,
            load,
        })
    }

    pub(super) fn line(&self) -> String {
        let Self { cpu, cores, kernel, sync_us, load } = self;
        format!(
            "{cpu}, {cores} cores, Linux {kernel}, disk sync {sync_us:.0} us, load {load:.2} at the start"
        )
    }
}

fn sync_time(dir: &Path) -> anyhow::Result<Duration> {
    let mut file = tempfile::tempfile_in(dir).with_context(|| format!("write in {}", dir.display()))?;
    let block = [7; 4096];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begin = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times[SYNCS / 2])
}
