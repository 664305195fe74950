//! An output in a keyspace of a Cassandra cluster.

use std::path::PathBuf;
use std::sync::Arc;

use storage::dataset::cassandra::{
    CassandraDataset, CassandraDatasetOptions, CassandraStore, KeyspaceOutput,
};
use storage::dataset::{self, Dataset, DatasetError, Marker, OutputState};
use storage::env::Clock;
use storage::net::cassandra::CassandraUrl;

use super::assembly::World;
use super::output::{Place, spool};
use crate::settings::Settings;

/// A keyspace that was reached.
pub(super) struct KeyspacePlace {
    store: CassandraStore,
    clock: Arc<dyn Clock>,
}

impl KeyspacePlace {
    /// Connects, and ensures that the cluster keeps what it acknowledges.
    pub(super) fn connect(url: &CassandraUrl, settings: &Settings, world: &World) -> anyhow::Result<Self> {
        let options = settings.cassandra.options()?;
        let store = CassandraStore::connect(url, &options).map_err(DatasetError::from)?;
        let accept = settings.cassandra.accept_periodic;
        store.check_safety(accept, &*world.clock).map_err(DatasetError::from)?;
        Ok(Self { store, clock: world.clock.clone() })
    }
}

impl Place for KeyspacePlace {
    fn path(&self) -> PathBuf {
        self.store.place().into()
    }

    fn look(&self) -> dataset::Result<OutputState> {
        KeyspaceOutput::new(&self.store).look()
    }

    fn claim(&self, marker: Marker) -> dataset::Result<Marker> {
        KeyspaceOutput::new(&self.store).claim(marker)
    }

    fn replace(&self, marker: Marker) -> dataset::Result<Marker> {
        KeyspaceOutput::new(&self.store).replace(marker)
    }

    fn pass_on(&self, marker: Marker) -> dataset::Result<()> {
        KeyspaceOutput::new(&self.store).put(marker)
    }

    fn open(&self, settings: &Settings, marker: Marker) -> anyhow::Result<Arc<dyn Dataset>> {
        let options = CassandraDatasetOptions {
            compression: settings.compression,
            followers: settings.followers_format,
            ..CassandraDatasetOptions::new(
                self.store.clone(),
                spool(settings, &marker),
                marker,
                self.clock.clone(),
            )
        };
        Ok(Arc::new(CassandraDataset::open(options)?))
    }
}
