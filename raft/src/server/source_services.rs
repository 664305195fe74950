//! What the tracker needs from its node about the crawled network.

use std::sync::{Arc, RwLock};

use futures::future::BoxFuture;
use storage::ids::UserId;

use crate::client::MAX_NAMES;
use crate::model::Mutation;
use crate::wire::{ApiError, ApiReply};

use super::tracker::Tracker;

/// Checks a follow rule; the error is meant for its author.
pub type CheckFollowRule = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Looks up screen names (without `@`). Returns those that have an account, with the account.
pub type ResolveNames =
    Arc<dyn Fn(Vec<String>) -> BoxFuture<'static, Result<Vec<(String, UserId)>, ResolveError>> + Send + Sync>;

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

/// Looks up screen names for clients; absent until the node's workers run.
#[derive(Default)]
pub(super) struct Resolver(RwLock<Option<ResolveNames>>);

impl Tracker {
    /// Enables clients to look up screen names through this node.
    pub fn set_resolver(&self, resolver: ResolveNames) {
        *self.inner.resolver.0.write().unwrap_or_else(|e| e.into_inner()) = Some(resolver);
    }

    /// Looks up names. Every node does so with its own budgets.
    pub(super) async fn resolve(&self, names: Vec<String>) -> Result<ApiReply, ApiError> {
        if names.len() > MAX_NAMES {
            let what = format!("{} names in one call; at most {MAX_NAMES} are allowed", names.len());
            return Err(ApiError::BadRequest(what));
        }
        let resolver = self.inner.resolver.0.read().unwrap_or_else(|e| e.into_inner()).clone();
        let Some(resolver) = resolver else {
            let own = self.inner.options.id;
            return Err(ApiError::Unavailable(format!("node {own} does not crawl, so it looks no names up")));
        };
        resolver(names).await.map(ApiReply::Resolved).map_err(|error| match error {
            ResolveError::Passing(what) => ApiError::Unavailable(what),
            ResolveError::Lasting(what) => ApiError::BadRequest(what),
        })
    }

    /// Refuses a crawl whose follow rule does not compile. The leader checks it before anything is in the log.
    pub(super) async fn check_rule(&self, mutation: &Mutation) -> Result<(), ApiError> {
        let (Mutation::CreateCrawl { spec, .. }, Some(check)) =
            (mutation, self.inner.options.check_follow_rule.clone())
        else {
            return Ok(());
        };
        let Some(rule) = spec.follow.clone() else { return Ok(()) };
        let checked = self.inner.options.work.run(move || check(&rule)).await;
        let checked = checked.map_err(|e| ApiError::Unavailable(e.to_string()))?;
        checked.map_err(ApiError::BadRequest)
    }
}
