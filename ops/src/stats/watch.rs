//! One connection to Redis.

use std::time::Duration;

use futures::StreamExt as _;
use redis::Msg;
use redis::aio::{MultiplexedConnection, PubSubSink, PubSubStream};
use storage::net::redis::{RedisError, RedisUrl};
use tokio::time::timeout;

use super::counters::{self, Reading};
use super::event;
use crate::service::REDIS_TIMEOUT;

/// Counters and events of a Redis.
pub(super) struct Watch {
    commands: MultiplexedConnection,
    control: PubSubSink,
    messages: PubSubStream,
}

/// What came.
pub(super) enum Seen {
    Message(Msg),
    /// The connection ended.
    Disconnect,
}

impl Watch {
    /// Connects, and subscribes to the events.
    ///
    /// # Errors
    /// Redis is unreachable.
    pub(super) async fn begin(url: &RedisUrl) -> Result<Self, RedisError> {
        let commands = url.connect(REDIS_TIMEOUT).await?;
        let (mut control, messages) = url.subscribe(REDIS_TIMEOUT).await?.split();
        let subscribed = timeout(REDIS_TIMEOUT, control.psubscribe(event::PATTERN)).await;
        let silent = |_| RedisError::Silent { url: url.to_string(), timeout: REDIS_TIMEOUT };
        subscribed.map_err(silent)?.map_err(|source| RedisError::Connect { url: url.to_string(), source })?;
        Ok(Self { commands, control, messages })
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Seen {
        self.messages.next().await.map_or(Seen::Disconnect, Seen::Message)
    }

    /// Reads the counters, and checks both connections.
    ///
    /// # Errors
    /// One is broken; the text says why.
    pub(super) async fn read(&mut self, now: Duration) -> Result<Reading, String> {
        let reading =
            counters::read(&mut self.commands, now.as_secs()).await.map_err(|error| error.to_string())?;
        // Messages may be rare, and a server that disappeared silently never ends the stream.
        match timeout(REDIS_TIMEOUT, self.control.ping::<redis::Value>()).await {
            Ok(answer) => answer.map(|_| reading).map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {REDIS_TIMEOUT:?}")),
        }
    }
}
