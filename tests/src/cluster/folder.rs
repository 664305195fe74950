//! A cluster's folder.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// A temporary folder that stays, and says where it is, unless it is [removed](Self::remove): whoever looks into a
/// failure needs it.
#[derive(Debug)]
pub struct Folder {
    /// Absent once removed.
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Folder {
    /// A new one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("twm-e2e-").tempdir().context("making a folder")?;
        let path = folder.path().to_owned();
        Ok(Self { folder: Some(folder), path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it with all that is in it.
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
