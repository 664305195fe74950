//! Waiting for what must come.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take. Far beyond what is needed, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something, and gives that.
///
/// # Errors
/// A look that failed, or nothing within [`DEADLINE`].
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

/// Runs a command to its end and gives what it printed. A command that does not end is killed.
///
/// # Errors
/// It could not be started, or did not end within [`DEADLINE`].
pub async fn ended(command: &mut Command) -> anyhow::Result<Output> {
    let shown = format!("{:?}", command.as_std());
    let output = command.kill_on_drop(true).output();
    let output = timeout(DEADLINE, output).await.with_context(|| format!("{shown} does not end"))?;
    output.with_context(|| format!("starting {shown}"))
}
