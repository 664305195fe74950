//! Resolves screen names to accounts.

use storage::ids::UserId;

use super::Crawler;
use super::job_error::JobError;
use crate::source::Endpoint;

/// Why names were not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The budget for look-ups is spent.
    #[error("the budget for look-ups is spent on all addresses; try again in {} s", after.as_secs().max(1))]
    Limited {
        /// Until it is renewed.
        after: std::time::Duration,
    },
    /// The network's answer was unusable.
    #[error("the names could not be looked up: {0}")]
    Source(String),
}

impl Crawler {
    /// The accounts with these screen names (without `@`), in the order of the names; names without an account are
    /// missing. Spends the budget for look-ups.
    pub async fn resolve(&self, names: &[String]) -> Result<Vec<(String, UserId)>, ResolveError> {
        let mut found = Vec::with_capacity(names.len());
        for batch in names.chunks(self.parts.source.lookup_batch()) {
            let profiles = self.resolve_batch(batch).await.map_err(|error| match error {
                JobError::Limited { after } => ResolveError::Limited { after },
                JobError::Retryable { what, .. }
                | JobError::SourceDown { what }
                | JobError::Permanent { what }
                | JobError::NoAddress(what) => ResolveError::Source(what),
                other => ResolveError::Source(format!("{other:?}")),
            })?;
            for name in batch {
                let named = |other: &str| other.eq_ignore_ascii_case(name);
                let profile = profiles.iter().find(|p| p.screen_name.as_deref().is_some_and(named));
                found.extend(profile.map(|profile| (name.clone(), profile.id.clone())));
            }
        }
        Ok(found)
    }

    async fn resolve_batch(&self, names: &[String]) -> Result<Vec<crate::source::Profile>, JobError> {
        loop {
            let permit = self.permit(Endpoint::Resolve, None).await?;
            let answer = self.parts.source.resolve(permit.client(), names).await;
            if let Some(profiles) = self.settle(Endpoint::Resolve, permit, answer)? {
                return Ok(profiles);
            }
        }
    }
}
