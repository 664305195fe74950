//! A measured process.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Timeout for a process to report that it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout for a process to stop on request.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of the log that are shown if a process stops by itself.
const LOG_SHOWN: usize = 4_000;

/// A process, killed when dropped.
pub(super) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program. Its log output is appended to the file `log`.
    pub(super) fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = fs::OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("open the log {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// The first line that the process prints, when it is ready.
    pub(super) async fn first_line(&mut self) -> anyhow::Result<String> {
        self.line_within(START_TIMEOUT).await
    }

    /// The first line that the process prints before the timeout.
    pub(super) async fn line_within(&mut self, patience: Duration) -> anyhow::Result<String> {
        let out = self.child.stdout.take().context("the process's first line was read already")?;
        let mut line = String::new();
        let read = timeout(patience, BufReader::new(out).read_line(&mut line)).await;
        match read {
            Ok(Ok(bytes)) if bytes > 0 => Ok(line.trim_end().to_owned()),
            _ => bail!("{} did not say what it should: {}", self.name, self.last_words()),
        }
    }

    /// Returns an error if the process has stopped by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} stopped by itself ({status}): {}", self.name, self.last_words()),
        }
    }

    /// Kills the process as a crash would (SIGKILL).
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("kill {}", self.name))
    }

    /// Sends SIGTERM to the process and waits until it has exited successfully.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.with_context(|| format!("{} has ended", self.name))?, Signal::TERM)?;
        let ended = timeout(STOP_TIMEOUT, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not stop", self.name))??;
        ensure!(status.success(), "{} stopped with {status}: {}", self.name, self.last_words());
        Ok(())
    }

    /// CPU time used so far, user and system, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        self.looked_at()?.cpu_seconds()
    }

    /// Resident memory, in bytes.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.looked_at()?.memory_bytes("VmRSS:")
    }

    /// Peak resident memory so far, in bytes.
    pub(super) fn peak_bytes(&self) -> anyhow::Result<u64> {
        self.looked_at()?.memory_bytes("VmHWM:")
    }

    fn looked_at(&self) -> anyhow::Result<ProcFolder> {
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        Ok(ProcFolder(pid.to_string()))
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let shown = &log[log.len().saturating_sub(LOG_SHOWN)..];
        if shown.is_empty() {
            "it logged nothing".to_owned()
        } else {
            String::from_utf8_lossy(shown).into_owned()
        }
    }
}

/// A process's folder in /proc.
pub(super) struct ProcFolder(String);

impl ProcFolder {
    /// This process's.
    pub(super) fn own() -> Self {
        Self("self".to_owned())
    }

    /// Another process's.
    pub(super) fn of(process: u32) -> Self {
        Self(process.to_string())
    }

    /// CPU time used so far, user and system, in seconds.
    pub(super) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = self.read("stat")?;
        // The program's name, in parentheses, may contain blanks; the fields are counted from behind it.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
        // Fields 14 and 15 of proc_pid_stat(5); the first one here is field 3.
        let (Some(user), Some(system)) = (ticks(11), ticks(12)) else { bail!("cannot read {stat:?}") };
        Ok((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Resident memory, in bytes.
    pub(super) fn resident_bytes(&self) -> anyhow::Result<u64> {
        self.memory_bytes("VmRSS:")
    }

    fn memory_bytes(&self, line: &str) -> anyhow::Result<u64> {
        let status = self.read("status")?;
        let found = status.lines().find_map(|text| text.strip_prefix(line));
        let kib = found.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Ok(kib.with_context(|| format!("the process has no {line}"))? * 1024)
    }

    fn read(&self, file: &str) -> anyhow::Result<String> {
        let path = format!("/proc/{}/{file}", self.0);
        fs::read_to_string(&path).with_context(|| format!("read {path}"))
    }
}

/// Bytes of all files in a folder and its subfolders.
pub(super) fn disk_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        // A log file or an old generation of a store may be removed concurrently.
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { disk_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}
