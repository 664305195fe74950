//! One node's process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

use super::{DEADLINE, Page, Program, eventually};

/// Number of last log lines quoted in an error.
const LAST_LINES: usize = 15;

/// The process of a `twm-node`, running or not. Dropping it kills the process.
#[derive(Debug)]
pub struct Node {
    id: u64,
    arguments: Vec<String>,
    http: String,
    log: PathBuf,
    process: Option<Child>,
    /// Folder with the programs of another build.
    build: Option<PathBuf>,
    /// Command that starts the node, with its first arguments; empty if the test starts it directly.
    launcher: Vec<String>,
}

impl Node {
    /// A node that has not been started.
    pub(crate) fn new(id: u64, arguments: Vec<String>, http: String, log: PathBuf) -> Self {
        Self { id, arguments, http, log, process: None, build: None, launcher: Vec::new() }
    }

    /// Starts the node through `launcher`, a program and its first arguments, which executes the node in its
    /// own process.
    pub(crate) fn launched_by(mut self, launcher: Vec<String>) -> Self {
        self.launcher = launcher;
        self
    }

    /// Address of its HTTP port.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// The flags that it starts with.
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Its process id.
    ///
    /// # Errors
    /// The node is not running.
    pub fn process_id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().and_then(Child::id).with_context(|| format!("node {} does not run", self.id))
    }

    /// Waits until the process exits by itself, and returns its exit code.
    ///
    /// # Errors
    /// The node is not running, or does not exit before the deadline.
    pub async fn ended_by_itself(&mut self) -> anyhow::Result<Option<i32>> {
        Ok(self.exited().await?.code())
    }

    /// Waits until the log contains `words`.
    ///
    /// # Errors
    /// The log does not contain them before the deadline.
    pub async fn says(&self, words: &str) -> anyhow::Result<()> {
        let what = format!("node {} says {words:?}", self.id);
        let said = eventually(&what, async || Ok(self.log()?.contains(words).then_some(()))).await;
        said.with_context(|| self.last_words())
    }

    /// Starts the process.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.start_with(&[])
    }

    /// Starts the process with these flags, `--key` or `--key=value`, each replacing the node's own flag of
    /// the same name.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub fn start_with(&mut self, flags: &[&str]) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "node {} runs already", self.id);
        let open = || File::options().create(true).append(true).open(&self.log);
        let log = open().with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = match &self.build {
            Some(folder) => Program::Node.command_in(folder)?,
            None => Program::Node.command()?,
        };
        if let [launcher, first @ ..] = &self.launcher[..] {
            let program = command.as_std().get_program().to_owned();
            command = super::program::quiet(tokio::process::Command::new(launcher));
            command.args(first).arg(program);
        }
        let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        let own = self.arguments.iter().filter(|own| !flags.iter().any(|flag| name(flag) == name(own)));
        command.args(own).args(flags).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().with_context(|| format!("starting node {}", self.id))?);
        Ok(())
    }

    /// Selects the build for the next start: the programs in `folder`, or this build if `None`.
    pub fn use_build(&mut self, folder: Option<&Path>) {
        self.build = folder.map(Path::to_owned);
    }

    /// Waits until the node is part of the cluster and its workers run.
    ///
    /// # Errors
    /// It exited, or is not ready before the deadline.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        eventually(&format!("node {} is ready", self.id), async || {
            self.still_runs()?;
            Ok(self.page("/readyz").await.ok().filter(|page| page.status == 200).map(|_| ()))
        })
        .await
        .with_context(|| self.last_words())
    }

    /// Requests a page from its HTTP port.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn page(&self, path: &str) -> anyhow::Result<Page> {
        Page::get(&self.http, path).await
    }

    fn still_runs(&mut self) -> anyhow::Result<()> {
        let process = self.process.as_mut().with_context(|| format!("node {} was not started", self.id))?;
        match process.try_wait()? {
            None => Ok(()),
            Some(exit) => bail!("node {} ended: {exit}", self.id),
        }
    }

    /// Whether the process is running, which includes a frozen one.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.process.as_ref().and_then(Child::id);
        let id = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.with_context(|| format!("node {} does not run", self.id))?;
        kill_process(id, signal).with_context(|| format!("signalling node {}", self.id))
    }

    async fn exited(&mut self) -> anyhow::Result<ExitStatus> {
        let mut process = self.process.take().with_context(|| format!("node {} does not run", self.id))?;
        let exit = timeout(DEADLINE, process.wait()).await;
        Ok(exit.with_context(|| format!("node {} does not end", self.id))??)
    }

    /// The exit status, if the process exited by itself; it then counts as not running.
    ///
    /// # Errors
    /// The system call fails.
    pub(crate) fn exit(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let exit = self.process.as_mut().map(Child::try_wait).transpose()?.flatten();
        if exit.is_some() {
            self.process = None;
        }
        Ok(exit)
    }

    /// Sends SIGTERM for an orderly shutdown.
    ///
    /// # Errors
    /// The node is not running.
    pub(crate) fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills the process, as in a crash.
    ///
    /// # Errors
    /// The node is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.exited().await.map(|_| ())
    }

    /// Sends SIGHUP, as a terminal does when it is closed.
    ///
    /// # Errors
    /// The node is not running.
    pub fn hang_up(&self) -> anyhow::Result<()> {
        self.signal(Signal::HUP)
    }

    /// Stops the node with SIGTERM and waits for its exit.
    ///
    /// # Errors
    /// The node is not running, does not exit before the deadline, or exits with a failure.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let exit = self.exited().await?;
        ensure!(exit.success(), "node {} ended with {exit} after SIGTERM{}", self.id, self.last_words());
        Ok(())
    }

    /// Suspends the process (SIGSTOP); its connections stay open.
    ///
    /// # Errors
    /// The node is not running.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a frozen process.
    ///
    /// # Errors
    /// The node is not running.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// The whole log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        read(&self.log)
    }

    pub(crate) fn last_words(&self) -> String {
        let log = self.log().unwrap_or_else(|error| error.to_string());
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        format!("\nnode {} says:\n{}", self.id, last.join("\n"))
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
