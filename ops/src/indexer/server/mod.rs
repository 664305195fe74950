//! An index in Elasticsearch or OpenSearch, using only what both understand.
//!
//! The position in the stream is a document in a small index of its own, written after the server has acknowledged
//! what it covers: what was indexed beyond it is sent again after a crash and replaces itself.

mod bulk;
mod call;
mod index;
mod mapping;
mod search;
mod url;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use storage::env::{Backoff, SystemEntropy};
use tokio::time::sleep;

use super::index::{Progress, Refused};
use super::inspection::{Buckets, Findings};
use super::question::Question;
use super::tweet::Tweet;
use bulk::{BulkResponse, Part, Pending};
use call::{Call, CallError};
pub(super) use url::ServerUrl;

/// Waits for a server that is busy or does not answer.
const WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why a search server can no longer be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServerError {
    #[error("{url} does not let us in ({status}); check user and password in --server or TWM_INDEXER_SERVER")]
    Login { url: String, status: u16 },
    #[error(
        "the index {index} at {url} has another mapping: {difference}; choose another --index, or --recreate deletes it and rebuilds it from the stream"
    )]
    OtherMapping { url: String, index: String, difference: String },
    #[error("{url} refuses the index {index} ({status}): {answer}")]
    Refused { url: String, index: String, status: u16, answer: String },
    #[error("{url} does not answer: {what}")]
    Silent { url: String, what: String },
    #[error("HTTPS cannot be used: {0}")]
    Client(String),
}

/// Why an attempt failed.
enum Failure {
    /// A later attempt may succeed.
    Passing(String),
    Lasting(ServerError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Passing(error.to_string())
    }
}

/// The index on one server. It needs no connection in advance.
pub(super) struct SearchServer {
    call: Call,
    index: String,
    /// Whether to delete the existing index, once.
    recreate: Mutex<bool>,
    trouble: Mutex<Option<String>>,
}

impl SearchServer {
    /// The index with this name. It does not connect yet.
    ///
    /// # Errors
    /// HTTPS cannot be used.
    pub(super) fn new(url: ServerUrl, index: String, recreate: bool) -> Result<Self, ServerError> {
        let call = Call::new(url).map_err(ServerError::Client)?;
        Ok(Self { call, index, recreate: Mutex::new(recreate), trouble: Mutex::new(None) })
    }

    /// What keeps tweets waiting now.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Prepares the index, and returns the position in the stream.
    ///
    /// # Errors
    /// The index has another mapping, or the server refuses the login.
    pub(super) async fn prepare(&self) -> Result<Progress, ServerError> {
        self.persist("preparing the index", || self.prepare_once().boxed()).await
    }

    /// Indexes tweets, and returns those refused for good.
    ///
    /// # Errors
    /// Only permanent ones: temporary ones are waited for.
    pub(super) async fn add(&self, tweets: &[Tweet]) -> Result<Vec<Refused>, ServerError> {
        let mut pending = Pending::of(tweets);
        while let Some(part) = pending.next() {
            let wait = match self.bulk(&part).await {
                Ok(said) => pending.settle(part, said),
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(why)) => {
                    pending.again(&part.places);
                    Some(why)
                }
            };
            match wait {
                Some(why) => self.pause(&mut pending.backoff, "indexing", &why).await,
                None => {
                    pending.backoff.reset();
                    self.well();
                }
            }
        }
        pending.refused.sort_by_key(|refused| refused.place);
        Ok(pending.refused)
    }

    async fn bulk(&self, part: &Part) -> Result<BulkResponse, Failure> {
        let path = format!("{}/_bulk?{}", self.index, bulk::ASKED);
        bulk::read(&self.call.post_lines(&path, &part.body).await?, part.places.len())
    }

    /// Stores the position in the stream.
    ///
    /// # Errors
    /// Only permanent ones: temporary ones are waited for.
    pub(super) async fn keep(&self, progress: Progress) -> Result<(), ServerError> {
        self.persist("keeping the position", || self.keep_once(progress).boxed()).await
    }

    /// Number of tweets in the index.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn count(&self) -> Result<u64, ServerError> {
        let answer = self.call.get(&format!("{}/_count", self.index)).await;
        let answer = answer.and_then(|answer| answer.good()?.json());
        answer.map_err(|error| self.silent(&error)).map(|json| json["count"].as_u64().unwrap_or(0))
    }

    /// The time range of matching tweets.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn extent(&self, question: &Question) -> Result<Option<(i64, i64)>, ServerError> {
        let answer = self.search(&search::extent(question)).await;
        answer.map(|answer| search::read_extent(&answer)).map_err(|error| self.silent(&error))
    }

    /// Inspects all matching tweets.
    ///
    /// # Errors
    /// The server does not answer.
    pub(super) async fn find(
        &self,
        question: &Question,
        buckets: Option<Buckets>,
    ) -> Result<Findings, ServerError> {
        let answer = self.search(&search::find(question, buckets)).await;
        let found = answer.and_then(|answer| search::read(&answer));
        found.map_err(|error| self.silent(&error))
    }

    async fn search(&self, body: &serde_json::Value) -> Result<serde_json::Value, CallError> {
        self.call.post(&format!("{}/_search", self.index), body).await?.good()?.json()
    }

    /// Retries until success or a permanent error.
    async fn persist<'a, T>(
        &'a self,
        what: &str,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, Failure>>,
    ) -> Result<T, ServerError> {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            match attempt().await {
                Ok(done) => {
                    self.well();
                    return Ok(done);
                }
                Err(Failure::Lasting(error)) => return Err(error),
                Err(Failure::Passing(why)) => self.pause(&mut backoff, what, &why).await,
            }
        }
    }

    async fn pause(&self, backoff: &mut Backoff, what: &str, why: &str) {
        let wait = backoff.next(&SystemEntropy::new());
        tracing::warn!("{what} at {} waits: {why}; trying again in {wait:?}", self.call.url());
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{what} waits: {why}"));
        sleep(wait).await;
    }

    fn well(&self) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn silent(&self, error: &CallError) -> ServerError {
        ServerError::Silent { url: self.call.url().to_string(), what: error.to_string() }
    }
}

impl fmt::Display for SearchServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.index, self.call.url())
    }
}
