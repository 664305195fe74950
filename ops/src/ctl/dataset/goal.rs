//! Where the new files of a command go.

use std::path::{Path, PathBuf};

use storage::dataset::FileKey;
use tempfile::TempDir;

use super::files::{DatasetFile, failure};
use super::place::{self, Remote, exists, scratch};
use crate::ctl::CtlError;

/// Where the new files of a command go.
pub enum Goal {
    /// In place of the files they are made of.
    InPlace,
    /// Into another folder.
    Folder(PathBuf),
    /// Into a remote dataset, by way of a temporary folder.
    Remote(Remote, TempDir),
}

impl Goal {
    /// The goal that an argument names.
    pub fn of(to: Option<&Path>) -> Result<Self, CtlError> {
        let Some(to) = to else { return Ok(Self::InPlace) };
        match place::url(to) {
            Some(url) => Ok(Self::Remote(place::dataset(url)?, scratch()?)),
            None => Ok(Self::Folder(to.to_owned())),
        }
    }

    /// Where a new file is written first; for a goal on this machine, its final path. `in_place` is that of a file that
    /// replaces the one it is made of.
    pub fn path(&self, key: &FileKey, in_place: PathBuf) -> Result<PathBuf, CtlError> {
        match self {
            Self::InPlace => Ok(in_place),
            Self::Folder(folder) => key.path_under(folder).map_err(failure),
            Self::Remote(_, scratch) => key.path_under(scratch.path()).map_err(failure),
        }
    }

    /// Refuses to begin the work for a file that must not be replaced.
    pub fn check(&self, key: &FileKey, force: bool) -> Result<(), CtlError> {
        let Self::Remote(place, _) = self else { return Ok(()) };
        match place.find(key).map_err(failure)? {
            Some(found) if !force => Err(exists(&**place, &found.name)),
            _ => Ok(()),
        }
    }

    /// Delivers what was written to [`path`](Self::path), unless that is its final place.
    pub fn deliver(&self, file: &DatasetFile, written: &Path, force: bool) -> Result<(), CtlError> {
        match self {
            Self::InPlace => file.remote.as_ref().map_or(Ok(()), |fetched| fetched.replace(written)),
            Self::Folder(_) => Ok(()),
            Self::Remote(place, _) => {
                put(place, &file.key, written, force)?;
                std::fs::remove_file(written).map_err(|error| {
                    CtlError::Failed(format!("cannot remove {}: {error}", written.display()))
                })
            }
        }
    }

    /// The final place of what is written to a path.
    pub fn shown(&self, file: &DatasetFile, path: &Path) -> String {
        match (self, &file.remote) {
            (Self::InPlace, Some(fetched)) => fetched.shown(path),
            (Self::Remote(place, scratch), _) => {
                let name = path.strip_prefix(scratch.path()).unwrap_or(path);
                format!("{place}/{}", name.display())
            }
            _ => path.display().to_string(),
        }
    }

    /// A failure whose text names final places.
    pub fn failure(&self, error: CtlError) -> CtlError {
        match (self, error) {
            (Self::Remote(place, scratch), CtlError::Failed(why)) => {
                CtlError::Failed(why.replace(&scratch.path().display().to_string(), &place.to_string()))
            }
            (_, other) => other,
        }
    }
}

/// Publishes a local file in a remote dataset. With `force`, in place of the one that is there.
pub fn put(place: &Remote, key: &FileKey, from: &Path, force: bool) -> Result<(), CtlError> {
    if place.create(key, from).map_err(failure)? {
        return Ok(());
    }
    match place.find(key).map_err(failure)? {
        Some(found) if force => place.replace(&found, from).map_err(failure),
        found => {
            let name = found.map_or_else(|| key.to_string(), |found| found.name);
            Err(exists(&**place, &name))
        }
    }
}
