//! Publication, and published files.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::super::cache::path_of;
use super::super::published::{Published, PublishedFiles, Version};
use super::super::spool::DraftId;
use super::super::{DatasetError, FileKey, Result};
use super::Inner;
use super::remote::DRAFT;
use crate::durable::Naming;
use crate::net::hdfs::{HdfsError, HdfsProblem, HdfsStatus, RenameOutcome};

/// How often a rename or a download is tried that finds something else than was there a moment before.
const ATTEMPTS: u32 = 4;
/// Most names tried for an unreadable file.
const MAX_SET_ASIDE: u32 = 10_000;
/// Ends the names of the original program.
const TWIN: &str = ".gz";

impl Inner {
    /// Publishes a finished draft. May be repeated: its folder says whether it was published.
    pub(super) fn publish(&self, draft: &DraftId) -> Result<()> {
        let (folder, name) = (self.finished(draft)?, draft.key.stored_name()?);
        let file = format!("{folder}/{DRAFT}");
        self.cache().forget(&draft.key);
        for _ in 0..ATTEMPTS {
            match self.hdfs.rename(&file, &name, true)? {
                RenameOutcome::Renamed => return self.remove_twin(&name),
                RenameOutcome::Taken => return Err(DatasetError::Exists { path: self.place(&name) }),
                RenameOutcome::Missing => {}
            }
            if self.hdfs.status(&file)?.is_some() {
                // The first file of its folder.
                let above = name.rsplit_once('/').map_or("", |(above, _)| above);
                self.hdfs.create_folder(above)?;
            } else if self.hdfs.status(&folder)?.is_some() {
                return self.remove_twin(&name);
            } else {
                // Its folder was moved away if the output has another owner.
                self.ensure_entered()?;
                return Err(DatasetError::DraftLost { key: draft.key.clone(), lease: draft.lease });
            }
        }
        Err(DatasetError::Changed { path: self.place(&name) })
    }

    /// Removes the file under the original program's name, which is older than a published one.
    fn remove_twin(&self, name: &str) -> Result<()> {
        self.hdfs.delete(&format!("{name}{TWIN}"))?;
        Ok(())
    }

    /// The published file under either name, ours first: a twin is older.
    pub(super) fn existing(&self, key: &FileKey) -> Result<Option<(String, HdfsStatus)>> {
        let name = key.stored_name()?;
        let twin = format!("{name}{TWIN}");
        for name in [name, twin] {
            if let Some(found) = self.hdfs.status(&name)?.filter(|found| !found.is_folder) {
                return Ok(Some((name, found)));
            }
        }
        Ok(None)
    }

    /// Files that are kept for the next reader.
    pub(super) fn caching(&self) -> Caching<'_> {
        Caching(self)
    }

    /// Downloads a file; `None` if it is not there any more.
    fn download(&self, name: &str) -> Result<Option<File>> {
        let Some(mut file) = self.hdfs.open_file(name)? else { return Ok(None) };
        let (mut local, path) = self.spool.unnamed()?;
        io::copy(&mut file, &mut local).map_err(|error| DatasetError::of_copy(error, &path))?;
        Ok(Some(local))
    }

    /// Reads a file, twice if no datanode gives its bytes: if they give those of the marker in between, only this file is lost,
    /// perhaps for a while. Otherwise it is the place that is away, and those of every file seem lost.
    pub(super) fn read_twice<T>(&self, read: impl Fn() -> Result<T>) -> Result<T> {
        match read() {
            Err(error) if is_unread(&error) => {
                self.read_owner()?;
                read().map_err(lost)
            }
            other => other,
        }
    }

    /// Whether a file is the one that was read.
    fn is_still(&self, name: &str, version: &Version) -> Result<bool> {
        Ok(self.hdfs.status(name)?.is_some_and(|found| Version::from(found) == *version))
    }

    /// Gives a file that turned out to be another one than was read its name back.
    fn put_back(&self, aside: &str, name: &str) -> Result<()> {
        match self.hdfs.rename(aside, name, false)? {
            // A later one was published meanwhile: what was set aside stays there.
            RenameOutcome::Taken | RenameOutcome::Renamed => Ok(()),
            RenameOutcome::Missing => Err(DatasetError::Changed { path: self.place(name) }),
        }
    }
}

impl From<HdfsStatus> for Version {
    fn from(found: HdfsStatus) -> Self {
        Self::Stored { modified: found.modified, bytes: found.bytes }
    }
}

impl PublishedFiles for Inner {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        if let Some(cached) = self.cache().take(key) {
            return Ok(Some(cached));
        }
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let Some((name, found)) = self.existing(key)? else { return Ok(None) };
            let version = Version::from(found);
            // A file that is replaced while it is read loses its blocks.
            match self.read_twice(|| self.download(&name)) {
                Ok(Some(file)) => {
                    // If it was replaced in between, nothing has this version any more, and nothing is set aside.
                    return Ok(Some(Published { path: self.place(&name), file, version }));
                }
                Ok(None) => last = Some(DatasetError::Changed { path: self.place(&name) }),
                Err(error) if self.is_still(&name, &version)? => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(None), Err)
    }

    /// A rename has no condition: what was renamed is looked at afterwards.
    fn set_aside(&self, _key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        let Some(name) = self.name_of(&found.path) else { return Ok(None) };
        if !self.is_still(&name, &found.version)? {
            return Ok(None);
        }
        for number in 1..MAX_SET_ASIDE {
            let to = match number {
                1 => format!("{name}.unreadable"),
                number => format!("{name}.unreadable-{number}"),
            };
            match self.hdfs.rename(&name, &to, false)? {
                RenameOutcome::Taken => {}
                RenameOutcome::Missing => return Ok(None),
                RenameOutcome::Renamed if self.is_still(&to, &found.version)? => {
                    let to = self.place(&to);
                    tracing::warn!(path = %found.path.display(), to = %to.display(), "unreadable file set aside");
                    return Ok(Some(to));
                }
                RenameOutcome::Renamed => {
                    self.put_back(&to, &name)?;
                    return Ok(None);
                }
            }
        }
        Err(DatasetError::Exists { path: found.path.clone() })
    }
}

impl Inner {
    /// The name of a place of this output.
    fn name_of(&self, place: &Path) -> Option<String> {
        let name = place.to_str()?.strip_prefix(self.hdfs.place())?.strip_prefix('/')?;
        Some(name.to_owned())
    }
}

/// Whether no datanode gives the bytes of a file.
fn is_unread(error: &DatasetError) -> bool {
    matches!(
        error,
        DatasetError::Hdfs(HdfsError { problem: HdfsProblem::NoDatanode(_) | HdfsProblem::Lost(_), .. })
    )
}

fn lost(error: DatasetError) -> DatasetError {
    match error {
        DatasetError::Hdfs(HdfsError { doing, place, problem: HdfsProblem::NoDatanode(why) }) => {
            HdfsError { doing, place, problem: HdfsProblem::Lost(why) }.into()
        }
        other => other,
    }
}

/// Opens files and keeps them for the next reader.
pub(super) struct Caching<'a>(&'a Inner);

impl PublishedFiles for Caching<'_> {
    fn open(&self, key: &FileKey) -> Result<Option<Published>> {
        let Some(found) = self.0.open(key)? else { return Ok(None) };
        // With a position of its own: both may be read at a time.
        let file = File::open(path_of(&found.file)).naming("open", &found.path)?;
        let kept = Published { path: found.path.clone(), file, version: found.version.clone() };
        self.0.cache().keep(key, kept);
        Ok(Some(found))
    }

    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>> {
        self.0.set_aside(key, found)
    }
}
