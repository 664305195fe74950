//! The process of a streaming consumer.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::cluster::{DEADLINE, Program, eventually};
use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::time::timeout;

/// A program, running or not, that always starts with the same flags. Dropping it kills the process.
pub struct Consumer {
    program: Program,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    process: Option<Child>,
}

impl Consumer {
    /// Starts the program, which logs into `folder`.
    ///
    /// # Errors
    /// It has not been built, or cannot be started.
    pub fn start(
        program: Program,
        folder: &Path,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> anyhow::Result<Self> {
        Self::start_in(program, folder, arguments, &[])
    }

    /// The same, with additional environment variables.
    ///
    /// # Errors
    /// It has not been built, or cannot be started.
    pub fn start_in(
        program: Program,
        folder: &Path,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = environment.collect();
        let log = folder.join("consumer.log");
        let arguments = arguments.into_iter().map(Into::into).collect();
        let mut consumer = Self { program, arguments, environment, log, process: None };
        consumer.restart()?;
        Ok(consumer)
    }

    /// Starts the program again.
    ///
    /// # Errors
    /// It is already running, or cannot be started.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "it runs already");
        let log = File::options().create(true).append(true).open(&self.log).context("opening a log")?;
        let mut command = self.program.command()?;
        command
            .args(&self.arguments)
            .envs(self.environment.clone())
            .env("NO_COLOR", "1")
            .stdout(log.try_clone()?)
            .stderr(log);
        self.process = Some(command.spawn().context("starting a consumer")?);
        Ok(())
    }

    /// Kills the process with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("it does not run")?.kill().await.context("killing")
    }

    /// Stops the process with SIGTERM, and expects a successful exit.
    ///
    /// # Errors
    /// It is not running, does not exit before the deadline, or fails.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        let id = i32::try_from(process.id().context("it ended")?)?;
        kill_process(Pid::from_raw(id).context("no process has the id 0")?, Signal::TERM)?;
        let status = timeout(DEADLINE, process.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}: {}", self.log());
        Ok(())
    }

    /// Whether the process is running.
    ///
    /// # Errors
    /// It was never started.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        let process = self.process.as_mut().context("it was never started")?;
        Ok(process.try_wait()?.is_none())
    }

    /// The whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until the log contains `words`.
    ///
    /// # Errors
    /// The log does not contain them before the deadline.
    pub async fn says(&self, words: &str) -> anyhow::Result<()> {
        let said = eventually("it says so", async || Ok(self.log().contains(words).then_some(()))).await;
        said.with_context(|| format!("expected {words:?} in: {}", self.log()))
    }
}
