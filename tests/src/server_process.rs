//! The process of a third-party server.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::cluster::eventually;

/// A server, running or not, that always starts with the same arguments. Dropping it kills the process.
#[derive(Debug)]
pub struct ServerProcess {
    program: &'static str,
    arguments: Vec<OsString>,
    log: PathBuf,
    process: Option<Child>,
}

impl ServerProcess {
    /// A server that has not been started; it logs into `folder`.
    pub fn new(program: &'static str, arguments: Vec<OsString>, folder: &Path) -> Self {
        let name = Path::new(program).file_name().unwrap_or_default();
        Self { program, arguments, log: folder.join(name).with_extension("log"), process: None }
    }

    /// Starts the server and waits until `ready` returns true.
    ///
    /// # Errors
    /// It is not installed, is already running, exits, or is not ready before the deadline; the error
    /// contains its log.
    pub async fn start(&mut self, mut ready: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs already", self.program);
        let log = File::options().create(true).append(true).open(&self.log).context("opening a log")?;
        let mut command = Command::new(self.program);
        command.args(&self.arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(log.try_clone()?).stderr(log);
        let process =
            command.spawn().with_context(|| format!("starting {}; ops/test installs it", self.program));
        let process = self.process.insert(process?);
        let what = format!("{} is ready", self.program);
        let started = eventually(&what, async || match process.try_wait()? {
            Some(status) => bail!("it ended with {status}"),
            None => Ok(ready().await.then_some(())),
        });
        let started = started.await;
        started.with_context(|| fs::read_to_string(&self.log).unwrap_or_default())
    }

    /// Kills it with `kill -9`.
    ///
    /// # Errors
    /// It is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().with_context(|| format!("{} does not run", self.program))?;
        process.kill().await.context("killing")
    }

    /// Suspends the process (SIGSTOP): its port still accepts connections, but does not answer.
    ///
    /// # Errors
    /// It is not running.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Resumes a frozen process.
    ///
    /// # Errors
    /// It is not running.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Its process id.
    ///
    /// # Errors
    /// It is not running.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.process.as_ref().and_then(Child::id).context("it does not run")
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.id()?)?).context("no process has the id 0")?;
        Ok(kill_process(id, signal)?)
    }
}

/// A port of 127.0.0.1 that is free now, has not been given to another test of this process, and is outside the
/// system's range for outgoing connections, so a server that starts or restarts later still finds it free.
///
/// # Errors
/// No port is free.
pub fn free_port() -> anyhow::Result<u16> {
    /// Below the range from which Linux takes ports for outgoing connections.
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() % u32::from(PORTS.end - PORTS.start);
    for _ in PORTS {
        let next = start + u32::from(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from(next % u32::from(PORTS.end - PORTS.start))?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("every port of {PORTS:?} is taken")
}
