//! Signals that stop a node.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, from a supervisor, and SIGINT, from a terminal.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// From now on they no longer end the process by themselves.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        Ok(Self { terminate, interrupt, hangup })
    }

    /// Waits for the next one. SIGHUP, which a closed terminal and many log rotation scripts send, does not stop the
    /// node.
    pub(super) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return tracing::info!("got SIGTERM"),
                _ = self.interrupt.recv() => return tracing::info!("got SIGINT"),
                _ = self.hangup.recv() => {
                    tracing::info!("got SIGHUP, which changes nothing; settings are read at a restart");
                }
            }
        }
    }
}
