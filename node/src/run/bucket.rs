//! An output in a bucket.

use std::path::PathBuf;
use std::sync::Arc;

use storage::dataset::s3::{BucketOutput, S3Dataset, S3DatasetOptions};
use storage::dataset::{self, Dataset, DatasetError, Marker, OutputState};
use storage::env::Clock;
use storage::net::s3::{Bucket, S3Url};

use super::assembly::World;
use super::output::{Place, spool};
use crate::settings::Settings;

/// A bucket that was reached.
pub(super) struct BucketPlace {
    bucket: Bucket,
    clock: Arc<dyn Clock>,
}

impl BucketPlace {
    /// Connects, and ensures that the store keeps the conditions on which the dataset relies.
    pub(super) fn connect(url: &S3Url, settings: &Settings, world: &World) -> anyhow::Result<Self> {
        let options = settings.s3.options(|name| std::env::var(name).ok())?;
        let bucket = Bucket::open(url, &options).map_err(DatasetError::from)?;
        let check = format!(".twm-check-{:016x}", world.entropy.next_u64());
        bucket.check_conditions(&check).map_err(DatasetError::from)?;
        Ok(Self { bucket, clock: world.clock.clone() })
    }
}

impl Place for BucketPlace {
    fn path(&self) -> PathBuf {
        self.bucket.place().into()
    }

    fn look(&self) -> dataset::Result<OutputState> {
        BucketOutput::new(&self.bucket).look()
    }

    fn claim(&self, marker: Marker) -> dataset::Result<Marker> {
        BucketOutput::new(&self.bucket).claim(marker)
    }

    fn replace(&self, marker: Marker) -> dataset::Result<Marker> {
        BucketOutput::new(&self.bucket).replace(marker)
    }

    fn pass_on(&self, marker: Marker) -> dataset::Result<()> {
        BucketOutput::new(&self.bucket).put(marker)
    }

    fn open(&self, settings: &Settings, marker: Marker) -> anyhow::Result<Arc<dyn Dataset>> {
        let options = S3DatasetOptions {
            compression: settings.compression,
            followers: settings.followers_format,
            ..S3DatasetOptions::new(self.bucket.clone(), spool(settings, &marker), marker, self.clock.clone())
        };
        Ok(Arc::new(S3Dataset::open(options)?))
    }
}
