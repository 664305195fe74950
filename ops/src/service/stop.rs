//! Signals that stop a service.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ServiceEnd;

/// Cancelled by the first SIGTERM, from a supervisor, or SIGINT, from a terminal.
///
/// # Errors
/// The signal handlers cannot be installed.
pub fn stop_signal() -> Result<CancellationToken, ServiceEnd> {
    let listen =
        |kind| signal(kind).map_err(|error| ServiceEnd::Failed(format!("listening for signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("got SIGTERM"),
            _ = interrupt.recv() => tracing::info!("got SIGINT"),
        }
        stopped.cancel();
    });
    Ok(stop)
}
