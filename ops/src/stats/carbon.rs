//! Sends live points to carbon's plain-text port.

use std::time::Duration;

use storage::env::{Backoff, Entropy, SystemEntropy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Timeout of a connection and of each send.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Waits between two attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Most batches that wait while carbon is slow.
const WAITING: usize = 64;
/// How often dropped points are logged.
const COMPLAIN_EVERY: u64 = 1_000;

/// Lines that are sent together.
struct Batch {
    lines: Vec<u8>,
    points: u64,
}

/// A sender that never blocks its caller.
pub(super) struct Carbon {
    batches: mpsc::Sender<Batch>,
    task: JoinHandle<u64>,
    /// Dropped because carbon was too slow; the task counts those dropped while it was unreachable.
    dropped: u64,
}

impl Carbon {
    /// Starts sending to this `HOST:PORT`, for the life of the process.
    pub(super) fn start(address: String) -> Self {
        let (batches, received) = mpsc::channel(WAITING);
        Self { batches, task: tokio::spawn(send_all(address, received)), dropped: 0 }
    }

    /// Sends lines if carbon is reachable, and drops them otherwise.
    pub(super) fn offer(&mut self, lines: &[u8], points: u64) {
        if self.batches.try_send(Batch { lines: lines.to_vec(), points }).is_err() {
            self.dropped += points;
            tracing::warn!(points, in_all = self.dropped, "carbon is too slow: live points are dropped");
        }
    }

    /// Sends pending lines for a moment, and returns the number of points that were dropped.
    pub(super) async fn finish(self) -> u64 {
        drop(self.batches);
        let sent = timeout(TIMEOUT, self.task).await;
        self.dropped + sent.ok().and_then(Result::ok).unwrap_or_default()
    }
}

/// Sends until there are no more batches; returns the number of dropped points.
async fn send_all(address: String, mut batches: mpsc::Receiver<Batch>) -> u64 {
    let entropy = SystemEntropy::new();
    let mut dropped = Dropped::default();
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    loop {
        let stream = match timeout(TIMEOUT, TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => stream,
            failed => {
                let why = failed.map_or_else(|_| "no answer".to_owned(), |error| describe(error.err()));
                dropped.away(&address, &why);
                if drop_for(backoff.next(&entropy as &dyn Entropy), &mut batches, &mut dropped)
                    .await
                    .is_none()
                {
                    return dropped.points;
                }
                continue;
            }
        };
        backoff.reset();
        dropped.back(&address);
        match send(stream, &mut batches, &mut dropped).await {
            None => return dropped.points,
            Some(why) => dropped.away(&address, &why),
        }
        // A server that closes at once must not be contacted in a tight loop.
        if drop_for(RECONNECT.0, &mut batches, &mut dropped).await.is_none() {
            return dropped.points;
        }
    }
}

fn describe(error: Option<std::io::Error>) -> String {
    error.map_or_else(|| "no answer".to_owned(), |error| error.to_string())
}

/// Drops incoming batches for a while; `None` if there will be no more.
async fn drop_for(wait: Duration, batches: &mut mpsc::Receiver<Batch>, dropped: &mut Dropped) -> Option<()> {
    let mut waited = std::pin::pin!(sleep(wait));
    loop {
        tokio::select! {
            () = waited.as_mut() => return Some(()),
            batch = batches.recv() => dropped.add(batch?.points),
        }
    }
}

/// Sends over one connection; returns why it ended, or `None` if there are no more batches.
async fn send(
    stream: TcpStream,
    batches: &mut mpsc::Receiver<Batch>,
    dropped: &mut Dropped,
) -> Option<String> {
    let (mut reader, mut writer) = stream.into_split();
    let mut answer = [0; 64];
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            // Carbon sends nothing: this is the end of the connection.
            read = reader.read(&mut answer) => match read {
                Ok(0) => return Some("it closed the connection".to_owned()),
                Ok(_) => continue,
                Err(error) => return Some(error.to_string()),
            },
        };
        let Some(batch) = batch else {
            // The last points are certain to be sent only once the peer has received the end of the stream.
            if let Err(error) = writer.shutdown().await {
                tracing::warn!("carbon may miss the last points: {error}");
            }
            return None;
        };
        match timeout(TIMEOUT, writer.write_all(&batch.lines)).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => {
                dropped.add(batch.points);
                return Some(error.to_string());
            }
            Err(_) => {
                dropped.add(batch.points);
                return Some(format!("it took nothing for {TIMEOUT:?}"));
            }
        }
    }
}

/// Points that did not reach carbon.
#[derive(Default)]
struct Dropped {
    points: u64,
    said: u64,
    is_away: bool,
}

impl Dropped {
    fn add(&mut self, points: u64) {
        self.points += points;
        if self.points >= self.said + COMPLAIN_EVERY {
            self.said = self.points;
            tracing::warn!(
                points = self.points,
                "live points were dropped; --replay sends them from the file"
            );
        }
    }

    fn away(&mut self, address: &str, why: &str) {
        if !self.is_away {
            tracing::warn!("carbon at {address} is away ({why}); live points are dropped until it is back");
        }
        self.is_away = true;
    }

    fn back(&mut self, address: &str) {
        tracing::info!(dropped = self.points, "connected to carbon at {address}");
        (self.is_away, self.said) = (false, self.points);
    }
}
