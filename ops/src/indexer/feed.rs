//! Feeds tweets from Redis to the index.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use storage::dataset::SourceName;
use storage::env::{Backoff, Clock as _, SystemClock};
use storage::net::mirrored::TWEETS;
use storage::net::redis::RedisUrl;
use tokio_util::sync::CancellationToken;

use super::batch::Batch;
use super::dead::DeadItems;
use super::index::{Index, IndexError, Progress};
use crate::service::REDIS_TIMEOUT;
use crate::stream::{self, Follower, Found, Position, StreamName, StreamReader};

/// What the stream has.
const WHAT: &str = "tweets";
/// Shortest interval between commits, which make tweets durable and searchable.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

type Disconnect = stream::Disconnect<IndexError>;

/// The shared progress of the feed.
#[derive(Debug, Default)]
pub(super) struct FeedState {
    inner: Mutex<Option<FeedProgress>>,
}

/// The progress of the feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeedProgress {
    pub(super) progress: Progress,
    /// Entries that wait in the stream; absent if Redis does not count them.
    pub(super) behind: Option<u64>,
}

impl FeedState {
    /// The progress; `None` before the index has reported its own.
    pub(super) fn progress(&self) -> Option<FeedProgress> {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, progress: Progress, behind: Option<u64>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = Some(FeedProgress { progress, behind });
    }
}

/// Feeds tweets from Redis to the index.
pub(super) struct Feed {
    url: RedisUrl,
    /// The durable stream.
    stream: StreamName,
    index: Index,
    dead: DeadItems,
    state: Arc<FeedState>,
    clock: SystemClock,
    /// The position up to which tweets were added.
    progress: Progress,
    /// The committed position, and when it was committed.
    committed: Progress,
    committed_at: Duration,
}

impl Follower for Feed {
    type Error = IndexError;

    async fn follow(&mut self, backoff: &mut Backoff) -> Result<Infallible, Disconnect> {
        let connection = self.url.connect(REDIS_TIMEOUT).await?;
        let mut stream = StreamReader::new(self.stream.clone(), connection, self.progress.position);
        let there = stream.begin().await?;
        let (url, last) = (&self.url, stream.position().last());
        match there {
            true => tracing::info!("reading {} from {url}, after {last}", self.stream.key),
            false => tracing::info!("{url} has no stream {} yet: waiting for it", self.stream.key),
        }
        loop {
            let found = stream.read().await?;
            backoff.reset();
            self.state.tell(self.progress, stream.behind());
            let idle = found.is_empty();
            self.take(found, stream.position()).await.map_err(Disconnect::Keeper)?;
            self.state.tell(self.progress, stream.behind());
            let since = self.clock.monotonic().saturating_sub(self.committed_at);
            let waits = self.progress != self.committed;
            if waits && since >= COMMIT_EVERY {
                self.commit().await.map_err(Disconnect::Keeper)?;
            } else if idle {
                stream.wait(if waits { COMMIT_EVERY - since } else { COMMIT_EVERY }).await?;
            }
        }
    }
}

impl Feed {
    pub(super) fn new(
        url: RedisUrl,
        source: &SourceName,
        index: Index,
        dead: DeadItems,
        state: Arc<FeedState>,
    ) -> Self {
        let stream = StreamName::of(source, TWEETS, WHAT, "twm-indexer");
        let clock = SystemClock::new();
        let (progress, committed, committed_at) = (Progress::START, Progress::START, Duration::ZERO);
        Self { url, stream, index, dead, state, clock, progress, committed, committed_at }
    }

    /// Runs until `stop` is cancelled.
    ///
    /// # Errors
    /// The index can no longer be used.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), IndexError> {
        self.progress = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            progress = self.index.progress() => progress?,
        };
        self.committed = self.progress;
        self.state.tell(self.progress, None);
        let url = self.url.clone();
        stream::follow_for_ever(&url, WHAT, &stop, &mut self).await?;
        // A server that does not answer now gets the rest again after the next start.
        match tokio::time::timeout(COMMIT_EVERY * 5, self.commit()).await {
            Ok(committed) => committed,
            Err(_) => {
                tracing::warn!(
                    "stopped while the index did not answer: the last tweets are indexed at the next start"
                );
                Ok(())
            }
        }
    }

    async fn take(&mut self, found: Vec<Found>, position: Position) -> Result<(), IndexError> {
        let batch = Batch::of(found);
        let refused = match batch.tweets.is_empty() {
            true => Vec::new(),
            false => self.index.add(&batch.tweets).await?,
        };
        let dead = batch.dead(refused);
        self.progress = Progress { position, dead: self.progress.dead + dead.len() as u64 };
        self.dead.report(dead).await;
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), IndexError> {
        if self.progress != self.committed {
            self.index.commit(self.progress).await?;
            self.committed = self.progress;
            self.committed_at = self.clock.monotonic();
        }
        Ok(())
    }
}
