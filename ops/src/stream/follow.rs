//! Keeps reconnecting to Redis.

use std::convert::Infallible;
use std::time::Duration;

use storage::env::{Backoff, SystemEntropy};
use storage::net::redis::RedisUrl;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::StreamError;

/// Waits between two attempts to reach Redis.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why a connection ended.
#[derive(Debug)]
pub enum Disconnect<E> {
    /// An error of Redis; reconnect.
    Redis(String),
    /// An error of the follower: it cannot continue.
    Keeper(E),
}

impl<E> From<redis::RedisError> for Disconnect<E> {
    fn from(error: redis::RedisError) -> Self {
        Self::Redis(error.to_string())
    }
}

impl<E> From<StreamError> for Disconnect<E> {
    fn from(error: StreamError) -> Self {
        Self::Redis(error.to_string())
    }
}

impl<E> From<storage::net::redis::RedisError> for Disconnect<E> {
    fn from(error: storage::net::redis::RedisError) -> Self {
        Self::Redis(error.to_string())
    }
}

/// Consumes the entries of a stream.
pub trait Follower: Send {
    /// Why it cannot continue.
    type Error: Send;

    /// Follows one connection to its end, and resets the backoff once it is established.
    fn follow(
        &mut self,
        backoff: &mut Backoff,
    ) -> impl Future<Output = Result<Infallible, Disconnect<Self::Error>>> + Send;
}

/// Follows one connection after the other until `stop` is cancelled. The follower is then dropped where it waits:
/// what it has not stored is read again by the next start. `what` names the contents of the stream.
///
/// # Errors
/// Those of the follower.
pub async fn follow_for_ever<F: Follower>(
    url: &RedisUrl,
    what: &str,
    stop: &CancellationToken,
    follower: &mut F,
) -> Result<(), F::Error> {
    let entropy = SystemEntropy::new();
    let mut backoff = Backoff::new(RECONNECT.0, RECONNECT.1);
    loop {
        let over = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            over = follower.follow(&mut backoff) => over,
        };
        let why = match over {
            Ok(never) => match never {},
            Err(Disconnect::Keeper(error)) => return Err(error),
            Err(Disconnect::Redis(why)) => why,
        };
        let wait = backoff.next(&entropy);
        tracing::warn!("no {what} from {url} ({why}); trying again in {wait:?}");
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = sleep(wait) => {}
        }
    }
}
