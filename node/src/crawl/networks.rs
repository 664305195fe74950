//! The sources of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::model::{AppName, AppTerms};
use storage::dataset::SourceName;

use super::came_along::CameAlong;
use super::outage::SourceHealth;
use crate::source::Source;
use crate::source::x::XSource;

/// The sources of a node, by name.
#[derive(Default)]
pub struct Networks(BTreeMap<SourceName, Network>);

/// One source.
pub(super) struct Network {
    pub(super) source: Arc<dyn Source>,
    pub(super) health: SourceHealth,
    pub(super) came_along: CameAlong,
}

impl Networks {
    /// The default source alone.
    pub fn only(source: Arc<dyn Source>) -> Self {
        Self::default().with(SourceName::default(), source)
    }

    /// One source more; one of the same name is replaced.
    #[must_use]
    pub fn with(mut self, name: SourceName, source: Arc<dyn Source>) -> Self {
        self.0.insert(
            name,
            Network { source, health: SourceHealth::default(), came_along: CameAlong::default() },
        );
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
