//! An output in a folder of an HDFS.

use std::path::PathBuf;
use std::sync::Arc;

use storage::dataset::hdfs::{HdfsDataset, HdfsDatasetOptions, HdfsOutput};
use storage::dataset::{self, Dataset, DatasetError, Marker, OutputState};
use storage::env::Clock;
use storage::net::hdfs::{Hdfs, HdfsOptions, HdfsUrl};

use super::assembly::World;
use super::output::{Place, spool};
use crate::settings::Settings;

/// A folder that was reached.
pub(super) struct HdfsPlace {
    hdfs: Hdfs,
    clock: Arc<dyn Clock>,
}

impl HdfsPlace {
    /// Connects, and ensures that files can be written.
    pub(super) fn connect(url: &HdfsUrl, world: &World) -> anyhow::Result<Self> {
        let hdfs = Hdfs::open(url, HdfsOptions::default()).map_err(DatasetError::from)?;
        hdfs.check_use().map_err(DatasetError::from)?;
        Ok(Self { hdfs, clock: world.clock.clone() })
    }
}

impl Place for HdfsPlace {
    fn path(&self) -> PathBuf {
        self.hdfs.place().into()
    }

    fn look(&self) -> dataset::Result<OutputState> {
        HdfsOutput::new(&self.hdfs).look()
    }

    fn claim(&self, marker: Marker) -> dataset::Result<Marker> {
        HdfsOutput::new(&self.hdfs).claim(marker)
    }

    fn replace(&self, marker: Marker) -> dataset::Result<Marker> {
        HdfsOutput::new(&self.hdfs).replace(marker)
    }

    fn pass_on(&self, marker: Marker) -> dataset::Result<()> {
        HdfsOutput::new(&self.hdfs).put(marker)
    }

    fn open(&self, settings: &Settings, marker: Marker) -> anyhow::Result<Arc<dyn Dataset>> {
        let options = HdfsDatasetOptions {
            compression: settings.compression,
            followers: settings.followers_format,
            ..HdfsDatasetOptions::new(self.hdfs.clone(), spool(settings, &marker), marker, self.clock.clone())
        };
        Ok(Arc::new(HdfsDataset::open(options)?))
    }
}
