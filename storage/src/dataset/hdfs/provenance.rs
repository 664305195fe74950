//! Batches of provenance on HDFS.

use super::super::provenance::{BatchName, FOLDER, StoredBatch};
use super::super::store::StoredBatches;
use super::super::{DatasetError, Result};
use super::store::own_name;
use crate::net::hdfs::{Hdfs, HdfsError, RenameOutcome};

/// Writes a batch that is not there yet; returns whether it did. Its name appears with its contents.
pub(super) fn put(hdfs: &Hdfs, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
    let stored = name.stored_name();
    if hdfs.status(&stored)?.is_some() {
        return Ok(false);
    }
    let own = own_name(hdfs);
    let renamed = write(hdfs, &own, bytes).and_then(|()| {
        hdfs.create_folder(FOLDER)?;
        hdfs.rename(&own, &stored, false)
    });
    if renamed.is_err() {
        // Nodes repeat this for as long as the file system is away. If it cannot be removed, it stays as waste.
        if let Err(error) = hdfs.delete(&own) {
            tracing::debug!("cannot remove a part of a batch of provenance: {error}");
        }
    }
    match renamed? {
        RenameOutcome::Renamed => Ok(true),
        RenameOutcome::Taken => {
            hdfs.delete(&own)?;
            Ok(false)
        }
        // The answer to our own rename was lost.
        RenameOutcome::Missing if hdfs.status(&stored)?.is_some() => Ok(true),
        RenameOutcome::Missing => {
            Err(DatasetError::Changed { path: format!("{}/{own}", hdfs.place()).into() })
        }
    }
}

fn write(hdfs: &Hdfs, name: &str, bytes: Vec<u8>) -> Result<(), HdfsError> {
    let mut file = hdfs.create(name)?;
    file.write(bytes.into())?;
    file.sync()?;
    file.close()
}

/// The batches of the dataset in a folder.
pub(super) fn list(hdfs: &Hdfs) -> Result<StoredBatches<'_>> {
    let listed = hdfs.list(FOLDER)?.into_iter().flatten();
    Ok(Box::new(listed.filter_map(|found| match found {
        Ok((name, found)) => {
            let name = BatchName::of_file_name(&name).filter(|_| !found.is_folder)?;
            Some(Ok(StoredBatch { name, bytes: found.bytes }))
        }
        Err(error) => Some(Err(error.into())),
    })))
}
