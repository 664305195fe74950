//! A cluster's folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A temporary folder that is kept, with its path printed, unless it is [removed](Self::remove). It helps to
/// investigate a failure.
#[derive(Debug)]
pub struct Folder {
    /// Absent once removed.
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Folder {
    /// Creates a temporary folder.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("twm-e2e-").tempdir().context("making a folder")?;
        let path = folder.path().to_owned();
        Ok(Self { folder: Some(folder), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and its content.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove(mut self) -> anyhow::Result<()> {
        self.folder
            .take()
            .map_or(Ok(()), TempDir::close)
            .with_context(|| format!("removing {}", self.path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take() {
            eprintln!("data, datasets and logs of the cluster are in {}", folder.keep().display());
        }
    }
}
