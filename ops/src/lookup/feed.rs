//! Profiles from Redis: from the durable stream or, without one, from the channel.

mod entries;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use redis::aio::{MultiplexedConnection, PubSubStream};
use storage::dataset::SourceName;
use storage::env::Backoff;
use storage::net::mirrored::{PROFILE_CHANNEL, PROFILES};
use storage::net::redis::RedisUrl;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::profile::Profile;
use super::redis_time::RedisTime;
use super::store::{Offered, Profiles, StoreError};
use crate::service::REDIS_TIMEOUT;
use crate::stream::{self, Follower, Found, Position, Stamp, StreamName, StreamReader};
use entries::Refusals;

/// What the stream has.
const WHAT: &str = "profiles";
/// The channel to which the original and the mirror publish profiles of the default source.
const CHANNEL: &str = PROFILE_CHANNEL;
/// Most messages that are stored together.
const MESSAGES: usize = 500;
/// How often to check for a stream while there is none.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Disconnect = stream::Disconnect<StoreError>;

/// Feeds profiles from Redis to the store.
pub(super) struct Feed {
    url: RedisUrl,
    /// The durable stream.
    stream: StreamName,
    /// Whether there is a channel for these profiles as well.
    has_channel: bool,
    profiles: Arc<Profiles>,
    time: Arc<RedisTime>,
    refusals: Refusals,
}

impl Follower for Feed {
    type Error = StoreError;

    async fn follow(&mut self, backoff: &mut Backoff) -> Result<Infallible, Disconnect> {
        let mut connection = self.url.connect(REDIS_TIMEOUT).await?;
        self.correct_time(&mut connection).await?;
        let position = self.store(|profiles| profiles.position()).await?;
        let mut stream = StreamReader::new(self.stream.clone(), connection, position);
        let mut lost = position.lost;
        if stream.begin().await? {
            tracing::info!("reading profiles from {}, after {}", self.url, stream.position().last());
        }
        let mut channel = None;
        loop {
            let found = stream.read().await?;
            backoff.reset();
            let position = stream.position();
            if !found.is_empty() || position.lost != lost {
                lost = position.lost;
                let profiles = self.refusals.sift(found);
                self.offer(profiles, Some(position)).await?;
                channel = None;
                continue;
            }
            // A store that failed when a profile was added fails here as well, and ends the service.
            self.store(|profiles| profiles.position()).await?;
            match stream.exists() || !self.has_channel {
                true => stream.wait(LOOK_EVERY).await?,
                false => self.listen(&mut channel).await?,
            }
        }
    }
}

impl Feed {
    pub(super) fn new(
        url: RedisUrl,
        source: &SourceName,
        profiles: Arc<Profiles>,
        time: Arc<RedisTime>,
    ) -> Self {
        let stream = StreamName::of(source, PROFILES, WHAT, "twm-lookup");
        let (has_channel, refusals) = (source.is_default(), Refusals::default());
        Self { url, stream, has_channel, profiles, time, refusals }
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// The store failed.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let url = self.url.clone();
        stream::follow_for_ever(&url, WHAT, &stop, &mut self).await
    }

    /// Receives profiles from the channel for a while.
    async fn listen(&mut self, channel: &mut Option<PubSubStream>) -> Result<(), Disconnect> {
        let messages = match channel {
            Some(messages) => messages,
            None => {
                let mut subscription = self.url.subscribe(REDIS_TIMEOUT).await?;
                let subscribed = timeout(REDIS_TIMEOUT, subscription.subscribe(CHANNEL)).await;
                subscribed.map_err(|_| Disconnect::Redis("no answer to a subscription".to_owned()))??;
                tracing::info!("{} has no stream {}: listening to {CHANNEL}", self.url, self.stream.key);
                channel.insert(subscription.into_on_message())
            }
        };
        let Ok(first) = timeout(LOOK_EVERY, messages.next()).await else { return Ok(()) };
        let mut found = vec![first.ok_or_else(|| Disconnect::Redis("the subscription ended".to_owned()))?];
        while let Some(Some(more)) = messages.next().now_or_never().filter(|_| found.len() < MESSAGES) {
            found.push(more);
        }
        let now = self.time.now();
        let found = found.iter().map(|message| {
            let json = Some(message.get_payload_bytes().to_vec());
            Found { stamp: now, json, ..Found::default() }
        });
        let profiles = self.refusals.sift(found.collect());
        self.offer(profiles, None).await?;
        Ok(())
    }

    async fn offer(
        &self,
        profiles: Vec<(Profile, Stamp)>,
        position: Option<Position>,
    ) -> Result<Offered, Disconnect> {
        let offered = self.store(move |store| store.offer(&profiles, position)).await?;
        tracing::debug!(?offered, ?position, "profiles");
        Ok(offered)
    }

    async fn store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Profiles) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Disconnect> {
        let profiles = Arc::clone(&self.profiles);
        let done = tokio::task::spawn_blocking(move || work(&profiles)).await;
        done.map_err(|error| Disconnect::Redis(error.to_string()))?.map_err(Disconnect::Keeper)
    }

    async fn correct_time(&self, connection: &mut MultiplexedConnection) -> Result<(), Disconnect> {
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(connection).await?;
        self.time.correct(Duration::from_secs(seconds) + Duration::from_micros(micros));
        Ok(())
    }
}
