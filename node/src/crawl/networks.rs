//! The sources of a node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::model::{AppName, AppTerms};
use storage::dataset::SourceName;

use super::came_along::CameAlong;
use super::host_gate::HostGate;
use super::outage::SourceHealth;
use crate::source::Source;
use crate::source::x::XSource;

/// The sources of a node, by name.
#[derive(Default)]
pub struct Networks(BTreeMap<SourceName, Network>);

/// One source.
pub(super) struct Network {
    pub(super) name: SourceName,
    pub(super) source: Arc<dyn Source>,
    pub(super) health: SourceHealth,
    pub(super) came_along: CameAlong,
    pub(super) hosts: HostGate,
    /// How long a host may be away before its accounts fail.
    pub(super) host_gone_after: Duration,
}

/// The default of [`Networks::host_gone_after`].
pub const HOST_GONE_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Networks {
    /// The default source alone.
    pub fn only(source: Arc<dyn Source>) -> Self {
        Self::default().with(SourceName::default(), source)
    }

    /// One source more; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: SourceName, source: Arc<dyn Source>) -> Self {
        let network = Network {
            name: name.clone(),
            source,
            health: SourceHealth::default(),
            came_along: CameAlong::default(),
            hosts: HostGate::default(),
            host_gone_after: HOST_GONE_AFTER,
        };
        self.0.insert(name, network);
        self
    }

    /// Sets how long a host of a source may be away before its accounts fail; a day by default.
    #[must_use]
    pub fn host_gone_after(mut self, name: &SourceName, time: Duration) -> Self {
        if let Some(network) = self.0.get_mut(name) {
            network.host_gone_after = time;
        }
        self
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &SourceName> {
        self.0.keys()
    }

    /// What the apps of all networks may spend, each once.
    pub(super) fn apps(&self) -> Vec<(AppName, AppTerms)> {
        let paid = self.0.values().filter_map(|network| network.source.paid());
        let apps: BTreeMap<AppName, AppTerms> = paid.flat_map(XSource::app_terms).collect();
        apps.into_iter().collect()
    }

    pub(super) fn get(&self, name: &SourceName) -> Option<&Network> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SourceName, &Network)> {
        self.0.iter()
    }
}
