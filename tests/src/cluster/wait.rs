//! Waits for a condition or a command.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Timeout of every wait. Much longer than needed, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Poll interval.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Calls `look` until it returns a value, and returns that value.
///
/// # Errors
/// `look` fails, or returns no value within [`DEADLINE`].
pub async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await.with_context(|| format!("waiting until {what}"))? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("not within {DEADLINE:?}: {what}");
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Runs a command until it exits, and returns its output. A command that does not exit is killed.
///
/// # Errors
/// The command cannot be started, or does not exit within [`DEADLINE`].
pub async fn ended(command: &mut Command) -> anyhow::Result<Output> {
    let shown = format!("{:?}", command.as_std());
    let output = command.kill_on_drop(true).output();
    let output = timeout(DEADLINE, output).await.with_context(|| format!("{shown} does not end"))?;
    output.with_context(|| format!("starting {shown}"))
}
