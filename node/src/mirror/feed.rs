//! A node's own part of the mirror: tweets and profiles to streams and channels, and the rates of its operations.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::model::Operation;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, pipe};
use storage::dataset::{Account, Dataset, SourceName, post_id};
use storage::env::{Backoff, Clock, Entropy};
use storage::ids::{PostId, UserId};
use storage::net::mirrored::{
    ID, JSON, OPERATIONS, PROFILE_CHANNEL, PROFILES, SOURCE, TWEET_CHANNEL, TWEETS, USER, stream_of,
};
use storage::net::redis::RedisUrl;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::append::ANSWER;
use super::legacy::operation_name;
use super::spool::{Item, Place, Spool};
use super::tap::{FetchTap, Tap, TimelineTap};
use crate::crawl::FetchHook;
use crate::session::PublicationHook;

/// First and longest pause between two attempts to connect.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Most bytes on disk that wait for Redis.
const SPOOL: u64 = 256 << 20;
/// Most entries sent at once, and most of their bytes.
const CHUNK: (usize, usize) = (200, 256 * 1024);
/// How often rates are published.
const PULSE: Duration = Duration::from_secs(1);
/// Pause while a file is being renamed.
const RENAME: Duration = Duration::from_millis(20);

/// The options of a feed.
pub struct FeedOptions {
    /// Where Redis is.
    pub url: RedisUrl,
    /// This node.
    pub node: u64,
    /// Approximate number of entries at which each stream is trimmed.
    pub length: u64,
    /// The folder for what was not sent yet.
    pub folder: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// Sends tweets and profiles, at least once.
#[derive(Clone)]
pub struct Feed {
    inner: Arc<Inner>,
}

struct Inner {
    options: FeedOptions,
    tap: Arc<Tap>,
}

/// The folder for what waits for Redis cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot use {folder}, where tweets and profiles wait for Redis: {source}; make room, or give this node the right to write there"
)]
pub struct FeedError {
    folder: PathBuf,
    source: std::io::Error,
}

/// One entry of a stream.
struct Entry {
    stream: Cow<'static, str>,
    /// The original's; it knows one network.
    channel: Option<&'static str>,
    fields: Vec<(&'static str, String)>,
    json: String,
}

impl Feed {
    /// Opens the folder, with what an earlier process left in it.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(options: FeedOptions) -> Result<Self, FeedError> {
        let folder = options.folder.clone();
        let spool = Spool::open(folder.clone(), SPOOL).map_err(|source| FeedError { folder, source })?;
        Ok(Self { inner: Arc::new(Inner { options, tap: Arc::new(Tap::new(spool)) }) })
    }

    /// Observes what the crawler fetches.
    pub fn fetch_hook(&self) -> Arc<dyn FetchHook> {
        Arc::new(FetchTap(self.inner.tap.clone()))
    }

    /// Observes publications in the dataset.
    pub fn publication_hook(&self, dataset: Arc<dyn Dataset>) -> Arc<dyn PublicationHook> {
        Arc::new(TimelineTap { dataset, tap: self.inner.tap.clone() })
    }

    /// Bytes that wait for Redis, and the number of dropped items.
    pub fn waiting(&self) -> (u64, u64) {
        (self.inner.tap.spool.bytes(), self.inner.tap.spool.dropped())
    }

    /// Sends until `stop` is cancelled. Timelines are read from `dataset`.
    pub async fn run(self, dataset: Arc<dyn Dataset>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.inner.pulse() => {}
            () = self.inner.send_all(dataset) => {}
        }
    }
}

impl Inner {
    /// Publishes every second how much was fetched. Nothing is kept for later.
    async fn pulse(&self) {
        let mut beats = interval(PULSE);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut redis = None;
        loop {
            beats.tick().await;
            let now = self.options.clock.wall().as_secs();
            let mut batch = pipe();
            for operation in Operation::ALL {
                let fetched = self.tap.take_fetched(operation);
                if fetched > 0 {
                    let channel =
                        format!("{OPERATIONS}{}.node-{}", operation_name(operation), self.options.node);
                    batch.publish(channel, format!("[{fetched}, {now}]")).ignore();
                }
            }
            if batch.is_empty() {
                continue;
            }
            if redis.is_none() {
                redis = self.options.url.connect(ANSWER).await.ok();
            }
            let Some(connection) = &mut redis else { continue };
            if batch.query_async::<()>(connection).await.is_err() {
                redis = None;
            }
        }
    }

    async fn send_all(&self, dataset: Arc<dyn Dataset>) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let (mut redis, mut place) = (None, None);
        loop {
            match self.send_next(&dataset, &mut redis, place).await {
                Ok(Some(next)) => {
                    place = Some(next);
                    backoff.reset();
                }
                Ok(None) => self.tap.spool.grown().await,
                Err(what) => {
                    redis = None;
                    tracing::debug!("tweets and profiles wait: {what}");
                    sleep(backoff.next(&*self.options.entropy)).await;
                }
            }
        }
    }

    /// Sends the item at a position; returns the position behind it, or `None` if there is no item.
    async fn send_next(
        &self,
        dataset: &Arc<dyn Dataset>,
        redis: &mut Option<MultiplexedConnection>,
        place: Option<Place>,
    ) -> Result<Option<Place>, String> {
        let tap = self.tap.clone();
        let read = tokio::task::spawn_blocking(move || tap.spool.read(place)).await;
        let read = read.map_err(|e| e.to_string())?.map_err(|e| format!("the spool cannot be read: {e}"))?;
        let Some((item, next)) = read else { return Ok(None) };
        if redis.is_none() {
            *redis = Some(self.options.url.connect(ANSWER).await.map_err(|e| e.to_string())?);
        }
        let Some(connection) = redis else { return Ok(None) };
        match item {
            Item::Profiles(profiles) => {
                self.send_profiles(connection, &SourceName::default(), profiles).await?;
            }
            Item::ProfilesOf { source, profiles } => {
                self.send_profiles(connection, &source, profiles).await?;
            }
            Item::Timeline { user, since } => {
                let since = Some(PostId::Number(since));
                self.send_timeline(connection, dataset.clone(), Account::from(&user), since).await?;
            }
            Item::Posts { user, since } => {
                let since = Some(PostId::Text(since));
                self.send_timeline(connection, dataset.clone(), Account::from(&user), since).await?;
            }
            Item::PostsOf { source, user, since } => {
                self.send_timeline(connection, dataset.clone(), Account { source, user }, since).await?;
            }
        }
        Ok(Some(next))
    }

    async fn send_profiles(
        &self,
        redis: &mut MultiplexedConnection,
        source: &SourceName,
        profiles: Vec<(UserId, String)>,
    ) -> Result<(), String> {
        let entries: Vec<Entry> =
            profiles.into_iter().map(|profile| profile_entry(source, profile)).collect();
        for chunk in entries.chunks(CHUNK.0) {
            self.send(redis, chunk).await.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn send_timeline(
        &self,
        redis: &mut MultiplexedConnection,
        dataset: Arc<dyn Dataset>,
        account: Account,
        since: Option<PostId>,
    ) -> Result<(), String> {
        while self.tap.is_publishing(&account) {
            sleep(RENAME).await;
        }
        let (sender, mut chunks) = mpsc::channel(2);
        let reading =
            tokio::task::spawn_blocking(move || read_timeline(&*dataset, &account, since.as_ref(), &sender));
        while let Some(chunk) = chunks.recv().await {
            self.send(redis, &chunk).await.map_err(|e| e.to_string())?;
        }
        reading.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
    }

    /// Writes to the streams, and to the channels of the original if they have subscribers.
    async fn send(&self, redis: &mut MultiplexedConnection, entries: &[Entry]) -> RedisResult<()> {
        let listeners: Vec<(String, u64)> = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(TWEET_CHANNEL)
            .arg(PROFILE_CHANNEL)
            .query_async(redis)
            .await?;
        let patterns: u64 = redis::cmd("PUBSUB").arg("NUMPAT").query_async(redis).await?;
        let heard =
            |channel: &&str| patterns > 0 || listeners.iter().any(|(name, n)| name == channel && *n > 0);
        let mut batch = pipe();
        for Entry { stream, channel, fields, json } in entries {
            let add =
                batch.cmd("XADD").arg(&**stream).arg("MAXLEN").arg("~").arg(self.options.length).arg("*");
            fields.iter().for_each(|(name, value)| {
                add.arg(name).arg(value);
            });
            add.arg(JSON).arg(json).ignore();
            if let Some(channel) = channel.filter(heard) {
                batch.publish(channel, json).ignore();
            }
        }
        batch.query_async(redis).await
    }
}

/// Sends the tweets newer than `since`, newest first, until the receiver is dropped. An error is one of the dataset's place:
/// the item is sent again once it works.
fn read_timeline(
    dataset: &dyn Dataset,
    account: &Account,
    since: Option<&PostId>,
    chunks: &mpsc::Sender<Vec<Entry>>,
) -> storage::dataset::Result<()> {
    let (user, stream) = (&account.user, stream_of(TWEETS, &account.source));
    let lines = match dataset.open_timeline(account) {
        Ok(Some(lines)) => lines,
        Ok(None) => return Ok(()),
        Err(error) if error.is_temporary() => return Err(error),
        Err(error) => {
            tracing::warn!(%user, "the tweets of a timeline are not mirrored: {error}");
            return Ok(());
        }
    };
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    for line in lines {
        let line = match line {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%user, "the rest of a timeline is not mirrored: {error}");
                break;
            }
        };
        let Some(id) = post_id(&line) else { continue };
        if since.is_some_and(|since| id <= *since) {
            break;
        }
        bytes += line.len();
        let fields = fields(&account.source, [(ID, id.to_string()), (USER, user.to_string())]);
        let channel = account.source.is_default().then_some(TWEET_CHANNEL);
        chunk.push(Entry { stream: stream.clone(), channel, fields, json: line });
        if chunk.len() >= CHUNK.0 || bytes >= CHUNK.1 {
            bytes = 0;
            if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                return Ok(());
            }
        }
    }
    if !chunk.is_empty() {
        // The receiver is dropped when sending failed: the whole item is then sent again.
        let _ = chunks.blocking_send(chunk);
    }
    Ok(())
}

fn profile_entry(source: &SourceName, (user, json): (UserId, String)) -> Entry {
    let fields = fields(source, [(ID, user.to_string())]);
    let channel = source.is_default().then_some(PROFILE_CHANNEL);
    Entry { stream: stream_of(PROFILES, source), channel, fields, json }
}

/// These fields, behind the name of the source unless it is the default one.
fn fields<const N: usize>(
    source: &SourceName,
    own: [(&'static str, String); N],
) -> Vec<(&'static str, String)> {
    let named = (!source.is_default()).then(|| (SOURCE, source.to_string()));
    named.into_iter().chain(own).collect()
}
