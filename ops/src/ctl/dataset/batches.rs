//! Copies the batches of provenance of one dataset to another.

use std::collections::HashSet;
use std::fmt::Display;

use storage::dataset::provenance::BatchName;
use storage::dataset::store::Store;
use storage::dataset::{self, DatasetError};

use super::files::failure;
use super::provenance::bytes;
use crate::ctl::CtlError;

/// What became of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Batches {
    /// Those that were not there and are now.
    pub copied: u64,
    /// Those that could not be copied, or differ.
    pub failed: u64,
}

/// Copies the batches that `to` does not have; with `verify`, compares all of them. Calls `failed` with the reason for each one
/// that could not be copied, or differs.
///
/// # Errors
/// A place cannot be listed.
pub fn copy_batches(
    from: &dyn Store,
    to: &dyn Store,
    verify: bool,
    failed: &dyn Fn(&dyn Display),
) -> Result<Batches, CtlError> {
    let listed = to.batches().map_err(failure)?;
    let there: HashSet<BatchName> =
        listed.map(|batch| Ok(batch?.name)).collect::<dataset::Result<_>>().map_err(failure)?;
    let mut batches = Batches::default();
    for batch in from.batches().map_err(failure)? {
        let name = batch.map_err(failure)?.name;
        match copy_batch(from, to, &name, there.contains(&name), verify) {
            Ok(created) => batches.copied += u64::from(created),
            Err(why) => {
                batches.failed += 1;
                failed(&why);
            }
        }
    }
    Ok(batches)
}

/// Copies a batch unless it is there; returns whether it was not.
fn copy_batch(
    from: &dyn Store,
    to: &dyn Store,
    name: &BatchName,
    is_there: bool,
    verify: bool,
) -> Result<bool, String> {
    let mut created = false;
    if !is_there {
        created = to.create_batch(name, bytes(from, name)?).map_err(|error| error.to_string())?;
    }
    if verify && bytes(from, name)? != bytes(to, name)? {
        let path = format!("{to}/{}", name.stored_name()).into();
        return Err(DatasetError::Differs { path }.to_string());
    }
    Ok(created)
}
