//! Writes points as they arrive, second by second.

use std::time::Duration;

use storage::env::{Backoff, Clock, SystemClock, SystemEntropy};
use storage::net::redis::RedisUrl;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::points_file::PointsFile;
use super::watch::{Seen, Watch};
use crate::service::ServiceEnd;
use points::Points;

mod points;

/// How often the counters are read, and points are written.
const EVERY: Duration = Duration::from_secs(1);
/// Waits between two attempts to reach Redis.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Runs until `stop` is cancelled.
///
/// # Errors
/// The last points could not be written.
pub(super) async fn run(
    url: RedisUrl,
    file: Option<PointsFile>,
    carbon: Option<String>,
    stop: CancellationToken,
) -> Result<(), ServiceEnd> {
    let mut points = Points::new(file, carbon);
    let (clock, entropy) = (SystemClock::new(), SystemEntropy::new());
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    while !stop.is_cancelled() {
        let begun = tokio::select! {
            () = stop.cancelled() => break,
            begun = Watch::begin(&url) => begun,
        };
        let why = match begun {
            Ok(mut watch) => {
                tracing::info!("connected to {url}");
                let why = follow(&mut watch, &mut points, &clock, &mut backoff, &stop).await;
                points.flush().await;
                why
            }
            Err(error) => error.to_string(),
        };
        if stop.is_cancelled() {
            break;
        }
        let wait = backoff.next(&entropy);
        tracing::warn!("no counters and events from {url} ({why}); trying again in {wait:?}");
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(wait) => {}
        }
    }
    points.finish().await
}

/// Follows one connection to its end; returns why it ended.
async fn follow(
    watch: &mut Watch,
    points: &mut Points,
    clock: &SystemClock,
    backoff: &mut Backoff,
    stop: &CancellationToken,
) -> String {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let seen = tokio::select! {
            () = stop.cancelled() => return "stopped".to_owned(),
            _ = ticks.tick() => None,
            seen = watch.next() => Some(seen),
        };
        match seen {
            Some(Seen::Message(message)) => {
                points.add_event(message.get_channel_name(), message.get_payload_bytes()).await;
            }
            Some(Seen::Disconnect) => return "the connection ended".to_owned(),
            None => {
                let reading = tokio::select! {
                    () = stop.cancelled() => return "stopped".to_owned(),
                    reading = watch.read(clock.wall()) => reading,
                };
                match reading {
                    Ok(reading) => points.add_counters(&reading),
                    Err(why) => return why,
                }
                backoff.reset();
                points.flush().await;
            }
        }
    }
}
