//! What the tracker needs from its node about the crawled network.

use std::sync::{Arc, RwLock};

use futures::future::BoxFuture;
use storage::dataset::SourceName;
use storage::ids::UserId;

use crate::client::MAX_NAMES;
use crate::model::{Mutation, SourceStatus};
use crate::wire::{ApiError, ApiReply};

use super::tracker::Tracker;

/// Checks a follow rule for crawls of a source; the error is meant for its author.
pub type CheckFollowRule = Arc<dyn Fn(&SourceName, &str) -> Result<(), String> + Send + Sync>;

/// The node's side of its sources, for clients.
pub trait SourceServices: Send + Sync {
    /// Looks up names (without `@`) in a source. Returns those that have an account, with the account.
    fn resolve(
        &self,
        source: SourceName,
        names: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<(String, UserId)>, ResolveError>>;

    /// The sources; with `check`, after their hosts were asked.
    fn list(&self, check: bool) -> BoxFuture<'static, Vec<SourceStatus>>;
}

/// Why names could not be looked up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not now, or not by this node; another one may succeed.
    #[error("{0}")]
    Passing(String),
    /// The network's answer was unusable.
    #[error("{0}")]
    Lasting(String),
}

/// The node's sources; absent until its workers run.
#[derive(Default)]
pub(super) struct NodeSources(RwLock<Option<Arc<dyn SourceServices>>>);

impl Tracker {
    /// Enables clients to use the node's sources.
    pub fn set_sources(&self, sources: Arc<dyn SourceServices>) {
        *self.inner.sources.0.write().unwrap_or_else(|e| e.into_inner()) = Some(sources);
    }

    fn node_sources(&self) -> Result<Arc<dyn SourceServices>, ApiError> {
        let sources = self.inner.sources.0.read().unwrap_or_else(|e| e.into_inner()).clone();
        sources.ok_or_else(|| {
            let own = self.inner.options.id;
            ApiError::Unavailable(format!("node {own} does not crawl, so it asks no source"))
        })
    }

    /// Looks up names. Every node does so with its own budgets.
    pub(super) async fn resolve(&self, source: SourceName, names: Vec<String>) -> Result<ApiReply, ApiError> {
        if names.len() > MAX_NAMES {
            let what = format!("{} names in one call; at most {MAX_NAMES} are allowed", names.len());
            return Err(ApiError::BadRequest(what));
        }
        let resolved = self.node_sources()?.resolve(source, names).await;
        resolved.map(ApiReply::Resolved).map_err(|error| match error {
            ResolveError::Passing(what) => ApiError::Unavailable(what),
            ResolveError::Lasting(what) => ApiError::BadRequest(what),
        })
    }

    /// The node's sources.
    pub(super) async fn sources(&self, check: bool) -> Result<ApiReply, ApiError> {
        Ok(ApiReply::Sources(self.node_sources()?.list(check).await))
    }

    /// Refuses a crawl whose follow rule cannot be used for its source. The leader checks it before anything is in the log.
    pub(super) async fn check_rule(&self, mutation: &Mutation) -> Result<(), ApiError> {
        let (Mutation::CreateCrawl { spec, .. }, Some(check)) =
            (mutation, self.inner.options.check_follow_rule.clone())
        else {
            return Ok(());
        };
        let Some(rule) = spec.follow.clone() else { return Ok(()) };
        let source = spec.source.clone();
        let checked = self.inner.options.work.run(move || check(&source, &rule)).await;
        let checked = checked.map_err(|e| ApiError::Unavailable(e.to_string()))?;
        checked.map_err(ApiError::BadRequest)
    }
}
