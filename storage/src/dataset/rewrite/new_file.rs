//! Creates or replaces a file atomically.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::iter;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::dataset::sink::Sink;
use crate::dataset::{Compression, DatasetError, FileKey, Result, dataset_folders, layout};
use crate::durable::{self, Naming};
use crate::folder_sync::FolderSync;

/// Suffix of a file's name: the file that is to replace it.
const NEW: &str = ".new";

/// A file being written next to its final name. It is locked while it is written, so that only one of two
/// processes writes it, and a killed process's leftover can be recognized. Removed on drop.
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
    /// What had the final name at the beginning.
    replaced: Option<Metadata>,
    /// Whether the replaced file is kept under another name.
    keep: bool,
    committed: bool,
}

/// A file with its final name.
pub(super) struct Committed {
    /// Its length.
    pub(super) bytes: u64,
    /// The replaced file, if it was to be kept.
    pub(super) aside: Option<PathBuf>,
}

impl NewFile {
    /// Prepares for [`create`](Self::create), before the work leading to it: checks the target, and creates
    /// the folder for intermediate files.
    pub(super) fn prepare(target: &Path, replaces: Option<&Metadata>) -> Result<()> {
        Self::check(target, replaces)?;
        match target.parent() {
            Some(folder) if folder != Path::new("") => Ok(durable::create_shared_folder(folder)?),
            _ => Ok(()),
        }
    }

    /// Checks that `target` does not exist, or is `replaces`; returns what exists.
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

    /// Begins a file that will become `target`. What exists by then must be `replaces`, or nothing.
    pub(super) fn create(
        target: &Path,
        replaces: Option<&Metadata>,
        owner: &Metadata,
        compression: Compression,
    ) -> Result<Self> {
        let replaced = Self::check(target, replaces)?;
        let temporary = temporary(target);
        let file = create_locked(&temporary)?;
        inherit(&file, owner).naming("set the owner of", &temporary)?;
        let folder = Arc::new(FolderSync::of_parent(&temporary));
        let sink = Sink::over(&temporary, file, compression, &folder);
        let target = target.to_owned();
        Ok(Self { name: Name { temporary, target, replaced, keep: false, committed: false }, sink })
    }

    /// Its temporary name.
    pub(super) fn temporary(&self) -> &Path {
        &self.name.temporary
    }

    /// Keeps the replaced file under another name.
    pub(super) fn keep_replaced(&mut self) {
        self.name.keep = true;
    }

    /// Gives the file its final name; durable on return.
    pub(super) fn commit(self) -> Result<Committed> {
        let Self { mut name, mut sink } = self;
        let bytes = sink.sync()?;
        Ok(Committed { bytes, aside: name.commit()? })
    }
}

impl Name {
    fn commit(&mut self) -> Result<Option<PathBuf>> {
        let found = existing(&self.target)?;
        if !is_unchanged(self.replaced.as_ref(), found.as_ref()) {
            return Err(self.changed());
        }
        let aside = if self.keep && found.is_some() { Some(keep_aside(&self.target)?) } else { None };
        self.take_place()?;
        self.committed = true;
        durable::sync_parent(&self.target)?;
        Ok(aside)
    }

    /// Renames the file. A file published since the last check stays, if the file system can guarantee that.
    fn take_place(&self) -> Result<()> {
        let flags = if self.replaced.is_some() { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
        let rename = || renameat_with(CWD, &self.temporary, CWD, &self.target, flags);
        match rename() {
            Ok(()) if self.replaced.is_none() => return Ok(()),
            Ok(()) => {
                if is_unchanged(self.replaced.as_ref(), existing(&self.temporary)?.as_ref()) {
                    durable::remove_file(&self.temporary)?;
                    return Ok(());
                }
                rename().map_err(io::Error::from).naming("put back", &self.target)?;
                return Err(self.changed());
            }
            Err(Errno::EXIST) => return Err(self.changed()),
            // Not supported by this file system; or the old file has another name by now.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOENT) => {}
            Err(other) => return Ok(Err(other.into()).naming("rename", &self.temporary)?),
        }
        Ok(fs::rename(&self.temporary, &self.target).naming("rename", &self.temporary)?)
    }

    fn changed(&self) -> DatasetError {
        DatasetError::Changed { path: self.target.clone() }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if !self.committed {
            // The error that ended the work is reported; a leftover that cannot be removed is taken over next
            // time.
            let _ = durable::remove_file(&self.temporary);
        }
    }
}

fn temporary(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(NEW);
    name.into()
}

/// What has the name `path`, not following a symbolic link.
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

/// Whether the file with a name is still the same, with the same contents.
fn is_unchanged(before: Option<&Metadata>, now: Option<&Metadata>) -> bool {
    let stamp = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    match (before, now) {
        (Some(before), Some(now)) => is_same(before, now) && stamp(before) == stamp(now),
        (None, None) => true,
        _ => false,
    }
}

/// Creates a file that is locked as long as it is open, after removing a killed process's leftover.
fn create_locked(path: &Path) -> Result<File> {
    loop {
        let file = match OpenOptions::new().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !remove_unlocked(path)? {
                    return Err(DatasetError::Busy { path: path.to_owned() });
                }
                continue;
            }
            other => other.naming("create", path)?,
        };
        // Another process may have taken it for a leftover between the two calls.
        if lock(&file, path)? && is_named(&file, path)? {
            return Ok(file);
        }
    }
}

/// Removes a file that is not locked; returns whether it was not.
fn remove_unlocked(path: &Path) -> Result<bool> {
    // A link is not followed: to one that leads nowhere, there would be neither a file nor room for one.
    let no_link = OFlags::NOFOLLOW.bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(no_link).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other.naming("open", path)?,
    };
    if !lock(&file, path)? {
        return Ok(false);
    }
    if is_named(&file, path)? {
        durable::remove_file(path)?;
    }
    Ok(true)
}

fn lock(file: &File, path: &Path) -> Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Ok(false),
        other => Ok(other.map(|()| true).map_err(io::Error::from).naming("lock", path)?),
    }
}

/// Whether an open file still has the name `path`.
fn is_named(file: &File, path: &Path) -> Result<bool> {
    let opened = file.metadata().naming("look at", path)?;
    Ok(existing(path)?.is_some_and(|named| is_same(&named, &opened)))
}

/// Copies the permissions of a file to its replacement: a node may run as another user than the operator.
fn inherit(file: &File, owner: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (owner.uid(), owner.gid()) {
        match fchown(file, Some(owner.uid()), Some(owner.gid())) {
            // Only root can change the owner; who can read the file may have a copy.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => other?,
        }
    }
    file.set_permissions(owner.permissions())
}

/// Removes the leftovers of killed processes in a dataset; returns their number.
///
/// # Errors
/// A folder that cannot be listed, or a file that cannot be removed.
pub fn remove_leftovers(output: &Path) -> Result<u64> {
    let mut removed = 0;
    for folder in
        iter::once(output.to_owned()).chain(dataset_folders(output)?.into_iter().map(|(_, folder)| folder))
    {
        for entry in fs::read_dir(&folder).naming("list", &folder)? {
            let path = entry.naming("list", &folder)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(file) = name.strip_suffix(NEW) else { continue };
            if FileKey::of_name(file).is_none() {
                continue;
            }
            removed += u64::from(remove_unlocked(&path)?);
        }
    }
    Ok(removed)
}

/// Gives a file a second name. It keeps its own, too, until it is replaced, so that the file never
/// disappears; on a file system without hard links it only has the new name.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_between_the_last_look_and_the_rename_keeps_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let (target, newer) = (folder.path().join("5.fws"), folder.path().join("newer"));
        for before in [None, Some("old")] {
            if let Some(text) = before {
                fs::write(&target, text).unwrap();
            }
            fs::write(&newer, "published").unwrap();
            let seen = existing(&target).unwrap();
            let owner = fs::metadata(&newer).unwrap();
            let new = NewFile::create(&target, seen.as_ref(), &owner, Compression::None).unwrap();
            fs::rename(&newer, &target).unwrap();
            assert!(matches!(new.name.take_place(), Err(DatasetError::Changed { .. })));
            drop(new);
            assert_eq!(fs::read_to_string(&target).unwrap(), "published");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&target).unwrap();
        }
    }

    /// It used to be tried for ever.
    #[test]
    fn a_link_to_nowhere_in_the_place_of_the_new_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("5.fws.new");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &path).unwrap();
        let refused = create_locked(&path).unwrap_err().to_string();
        assert!(refused.contains("5.fws.new"), "{refused}");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink(), "it is left as it is");
    }
}
