//! The sources of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::dataset::SourceName;

use super::came_along::CameAlong;
use super::outage::SourceHealth;
use crate::source::Source;

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

    pub(super) fn get(&self, name: &SourceName) -> Option<&Network> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SourceName, &Network)> {
        self.0.iter()
    }
}
