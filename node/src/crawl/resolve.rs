//! Resolves screen names to accounts.

use storage::dataset::SourceName;
use storage::ids::UserId;

use super::Crawler;
use super::job_error::JobError;
use super::networks::Network;
use crate::source::{Endpoint, Profile, Trail};

/// Most steps of a search for one name.
const LONGEST_SEARCH: usize = 8;

/// Why names were not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The budget for look-ups is spent.
    #[error("the budget for look-ups is spent on all addresses; try again in {} s", after.as_secs().max(1))]
    Limited {
        /// Until it is renewed.
        after: std::time::Duration,
    },
    /// Look-ups cost money, and there is none.
    #[error("the names cannot be looked up now: {what}; `twm-ctl status` shows what may be spent")]
    NoMoney {
        /// What is used up.
        what: String,
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
        match error.of_one_among_many() {
            JobError::Limited { after } => Self::Limited { after },
            JobError::NoMoney { what, .. } => Self::NoMoney { what },
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
            let mut profiles = self.resolve_batch(network, batch).await.map_err(ResolveError::from)?;
            self.search(network, batch, &mut profiles).await.map_err(ResolveError::from)?;
            self.tell_looked_up(network, &profiles).await;
            for name in batch {
                let profile = profiles.iter().find(|profile| is_named(profile, name));
                found.extend(profile.map(|profile| (name.clone(), profile.id.clone())));
            }
        }
        Ok(found)
    }

    /// Searches for the accounts of the names that are not among the profiles.
    async fn search(
        &self,
        network: &Network,
        names: &[String],
        profiles: &mut Vec<Profile>,
    ) -> Result<(), JobError> {
        for name in names {
            if profiles.iter().any(|profile| is_named(profile, name)) {
                continue;
            }
            let mut next = network.source.first_lead(name);
            for _ in 0..LONGEST_SEARCH {
                let Some(lead) = next.take() else { break };
                // Every step is a request of its own.
                let permit = self.permit(&lead.scope).await?;
                let answer = network.source.follow_lead(permit.client(), &lead).await;
                match self.settle(network, Endpoint::Resolve, permit, answer)? {
                    Some(Trail::Found(profile)) => profiles.push(profile),
                    Some(Trail::Next(lead)) => next = Some(lead),
                    Some(Trail::Nobody) => {}
                    // Another address is asked.
                    None => next = Some(lead),
                }
            }
        }
        Ok(())
    }

    pub(super) async fn resolve_batch(
        &self,
        network: &Network,
        names: &[String],
    ) -> Result<Vec<Profile>, JobError> {
        if let Some(x) = network.source.paid() {
            return self.paid_resolve(network, x, names).await;
        }
        loop {
            // A source with many hosts resolves one name at a time, which then says which host it is.
            let first = names.first().and_then(|name| name.parse().ok());
            if let Some(first) = &first {
                self.locate(network, Endpoint::Resolve, first).await?;
            }
            let scope = network.source.scope(Endpoint::Resolve, first.as_ref());
            let turn = self.turn(network, Endpoint::Resolve, first.as_ref(), &scope).await?;
            let answer = network.source.resolve(turn.client(), names).await;
            if let Some(profiles) = self.settle(network, Endpoint::Resolve, turn, answer)? {
                return Ok(profiles);
            }
        }
    }
}

fn is_named(profile: &Profile, name: &str) -> bool {
    profile.screen_name.as_deref().is_some_and(|other| other.eq_ignore_ascii_case(name))
}
