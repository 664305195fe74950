//! Resolves screen names to accounts.

use std::time::Duration;

use api::model::{Reached, SourceStatus};
use storage::dataset::SourceName;
use storage::ids::UserId;

use super::Crawler;
use super::job_error::JobError;
use super::networks::Network;
use crate::source::Endpoint;

/// Timeout for one source.
const CHECK: Duration = Duration::from_secs(10);

/// Why names were not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The budget for look-ups is spent.
    #[error("the budget for look-ups is spent on all addresses; try again in {} s", after.as_secs().max(1))]
    Limited {
        /// Until it is renewed.
        after: std::time::Duration,
    },
    /// The node does not have the source.
    #[error(
        "this node has no source {name}; it has {known}; add [source.{name}] to the settings of all nodes"
    )]
    NoSource {
        /// The source.
        name: SourceName,
        /// Those that it has.
        known: String,
    },
    /// The network's answer was unusable.
    #[error("the names could not be looked up: {0}")]
    Source(String),
}

impl From<JobError> for ResolveError {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Limited { after } => Self::Limited { after },
            JobError::Retryable { what, .. }
            | JobError::SourceDown { what }
            | JobError::Permanent { what }
            | JobError::NoAddress(what) => Self::Source(what),
            other => Self::Source(format!("{other:?}")),
        }
    }
}

impl Crawler {
    /// The accounts with these screen names (without `@`) in a source, in the order of the names; names without an account
    /// are missing. Spends the budget for look-ups.
    pub async fn resolve(
        &self,
        source: &SourceName,
        names: &[String],
    ) -> Result<Vec<(String, UserId)>, ResolveError> {
        let Some(network) = self.parts.networks.get(source) else {
            let known: Vec<_> = self.parts.networks.names().map(ToString::to_string).collect();
            return Err(ResolveError::NoSource { name: source.clone(), known: known.join(", ") });
        };
        let mut found = Vec::with_capacity(names.len());
        for batch in names.chunks(network.source.lookup_batch().max(1)) {
            let profiles = self.resolve_batch(network, batch).await.map_err(ResolveError::from)?;
            for name in batch {
                let named = |other: &str| other.eq_ignore_ascii_case(name);
                let profile = profiles.iter().find(|p| p.screen_name.as_deref().is_some_and(named));
                found.extend(profile.map(|profile| (name.clone(), profile.id.clone())));
            }
        }
        Ok(found)
    }

    /// The sources, after one small request to each of them, all at once.
    pub async fn check_sources(&self) -> Vec<SourceStatus> {
        let checks = self.parts.networks.iter().map(async |(_, network)| {
            let name = network.source.probe_name()?.to_owned();
            let begun = self.parts.clock.monotonic();
            let reached = match tokio::time::timeout(CHECK, self.probe(network, name)).await {
                Ok(Ok(())) => {
                    let took = self.parts.clock.monotonic().saturating_sub(begun).as_millis();
                    Reached::After(u64::try_from(took).unwrap_or(u64::MAX))
                }
                Ok(Err(error)) => Reached::Failed(error),
                Err(_) => Reached::Failed(format!("no answer within {} s", CHECK.as_secs())),
            };
            Some(reached)
        });
        let reached = futures::future::join_all(checks).await;
        let statuses = self.source_status().into_iter().zip(reached);
        statuses.map(|(status, reached)| SourceStatus { reached, ..status }).collect()
    }

    /// Asks for the account of a name that may or may not exist.
    async fn probe(&self, network: &Network, name: String) -> Result<(), String> {
        let found = self.resolve_batch(network, &[name]).await;
        found.map(drop).map_err(|error| ResolveError::from(error).to_string())
    }

    async fn resolve_batch(
        &self,
        network: &Network,
        names: &[String],
    ) -> Result<Vec<crate::source::Profile>, JobError> {
        loop {
            // A source with many hosts resolves one name at a time, which then says which host it is.
            let first = names.first().and_then(|name| name.parse().ok());
            let permit = self.permit(&network.source.scope(Endpoint::Resolve, first.as_ref())).await?;
            let answer = network.source.resolve(permit.client(), names).await;
            if let Some(profiles) = self.settle(network, Endpoint::Resolve, permit, answer)? {
                return Ok(profiles);
            }
        }
    }
}
