//! A file that takes the place of another one, or comes into being, as a whole.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::dataset::sink::Sink;
use crate::dataset::{DatasetError, FileKey, Result, dataset_folders, layout};
use crate::durable::{self, Naming};

/// Behind a file's name: the file that is to take its place.
const NEW: &str = ".new";

/// A file being written beside its final name. It is locked while it is written, so that of two processes
/// only one writes it, and what a killed one left is known to be left. Dropped, it vanishes.
pub(super) struct NewFile {
    // Dropped before the sink, which holds the lock.
    name: Name,
    /// Where it is written.
    pub(super) sink: Sink,
}

/// The names of a [`NewFile`].
struct Name {
    temporary: PathBuf,
    target: PathBuf,
    /// What has the final name at the beginning.
    replaced: Option<Metadata>,
    /// Whether what it replaces is kept under another name.
    keep: bool,
    committed: bool,
}

/// A file that has its final name.
pub(super) struct Committed {
    /// Its length.
    pub(super) bytes: u64,
    /// What it replaced, where that was to be kept.
    pub(super) aside: Option<PathBuf>,
}

impl NewFile {
    /// Prepares for [`create`](Self::create), before the work that leads there: what would be refused is, and
    /// the folder is there, for what lies beside the file meanwhile.
    pub(super) fn prepare(target: &Path, replaces: Option<&Metadata>) -> Result<()> {
        Self::check(target, replaces)?;
        match target.parent() {
            Some(folder) if folder != Path::new("") => Ok(durable::create_folder(folder)?),
            _ => Ok(()),
        }
    }

    /// Checks that `target` is not there, or is `replaces`; returns what is there.
    fn check(target: &Path, replaces: Option<&Metadata>) -> Result<Option<Metadata>> {
        let found = existing(target)?;
        match found {
            Some(found) if !found.is_file() => {
                let why = "it is a folder, a symbolic link or a device; name a regular file";
                Ok(Err(io::Error::other(why)).naming("replace", target)?)
            }
            Some(found) if replaces.is_none_or(|allowed| !is_same(allowed, &found)) => {
                Err(DatasetError::Exists { path: target.to_owned() })
            }
            found => Ok(found),
        }
    }

    /// Begins a file that will be `target`. What is there by then must be `replaces`, or nothing.
    pub(super) fn create(
        target: &Path,
        replaces: Option<&Metadata>,
        owner: &Metadata,
        level: Option<u32>,
    ) -> Result<Self> {
        let replaced = Self::check(target, replaces)?;
        let temporary = temporary(target);
        let file = open_locked(&temporary)?;
        file.set_len(0).naming("write", &temporary)?;
        inherit(&file, owner).naming("set the owner of", &temporary)?;
        let sink = Sink::over(&temporary, file, level.map(|level| level.clamp(1, 9)));
        let target = target.to_owned();
        Ok(Self { name: Name { temporary, target, replaced, keep: false, committed: false }, sink })
    }

    /// The name that it has meanwhile.
    pub(super) fn temporary(&self) -> &Path {
        &self.name.temporary
    }

    /// Lets the file whose place it takes keep another name.
    pub(super) fn keep_replaced(&mut self) {
        self.name.keep = true;
    }

    /// Gives the file its final name; durable when it returns.
    pub(super) fn commit(self) -> Result<Committed> {
        let Self { mut name, mut sink } = self;
        let bytes = sink.sync()?;
        Ok(Committed { bytes, aside: name.commit()? })
    }
}

impl Name {
    fn commit(&mut self) -> Result<Option<PathBuf>> {
        let found = existing(&self.target)?;
        let unchanged = match (&self.replaced, &found) {
            (None, None) => true,
            (Some(before), Some(now)) => is_unchanged(before, now),
            _ => false,
        };
        if !unchanged {
            return Err(DatasetError::Changed { path: self.target.clone() });
        }
        let aside = if self.keep && found.is_some() { Some(keep_aside(&self.target)?) } else { None };
        fs::rename(&self.temporary, &self.target).naming("rename", &self.temporary)?;
        self.committed = true;
        durable::sync_parent(&self.target)?;
        Ok(aside)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if !self.committed {
            // Whatever ended the work is told; a leftover that cannot be removed is taken over next time.
            let _ = durable::remove_file(&self.temporary);
        }
    }
}

fn temporary(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(NEW);
    name.into()
}

/// What has the name `path`, a symbolic link itself included.
pub(super) fn existing(path: &Path) -> Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Ok(Err(e).naming("look at", path)?),
    }
}

/// Whether both are the same file.
pub(super) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

fn is_unchanged(a: &Metadata, b: &Metadata) -> bool {
    let stamp = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    is_same(a, b) && stamp(a) == stamp(b)
}

/// Opens a file that no other process has open so, or creates it.
fn open_locked(path: &Path) -> Result<File> {
    loop {
        let options = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = options.naming("create", path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(DatasetError::Busy { path: path.to_owned() }),
            other => other.map_err(io::Error::from).naming("lock", path)?,
        }
        // Whoever had it before may have renamed or removed it between the two calls.
        let opened = file.metadata().naming("look at", path)?;
        if existing(path)?.is_some_and(|named| is_same(&named, &opened)) {
            return Ok(file);
        }
    }
}

/// The access rights of a file go over to the one that takes its place: a node may run as another user than
/// the operator.
fn inherit(file: &File, owner: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (owner.uid(), owner.gid()) {
        match fchown(file, Some(owner.uid()), Some(owner.gid())) {
            // Only root can give files away; who may read the file, may have a copy.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    file.set_permissions(owner.permissions())
}

/// Removes what killed processes left in a dataset while they wrote files anew; returns how many files.
///
/// # Errors
/// A folder that cannot be listed, a file that cannot be removed.
pub fn remove_leftovers(output: &Path) -> Result<u64> {
    let mut removed = 0;
    for folder in dataset_folders(output)? {
        for entry in fs::read_dir(&folder).naming("list", &folder)? {
            let path = entry.naming("list", &folder)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(file) = name.strip_suffix(NEW) else { continue };
            if FileKey::of_name(file).is_none() {
                continue;
            }
            match open_locked(&path) {
                Err(DatasetError::Busy { .. }) => continue,
                other => other?,
            };
            durable::remove_file(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Gives a file another name. It keeps its own, too, until something takes its place, so that there is no
/// moment without a file; on a file system without hard links it has the new name alone.
fn keep_aside(path: &Path) -> Result<PathBuf> {
    let aside = layout::free_name(path)?;
    match fs::hard_link(path, &aside) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported) =>
        {
            fs::rename(path, &aside).naming("set aside", path)?;
        }
        other => other.naming("set aside", path)?,
    }
    durable::sync_parent(path)?;
    Ok(aside)
}
