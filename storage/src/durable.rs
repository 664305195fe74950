//! File operations that survive a power cut.
//!
//! A file is durable once its bytes are synced and the folder that names it is synced as well
//! (`fsync(2)`, "Calling fsync() does not necessarily ensure that the entry in the directory
//! containing the file has also reached disk").

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// A failed file operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}{}", path.display(), remedy(source))]
pub struct FileError {
    /// A verb: `read`, `sync`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The error of the system.
    pub source: io::Error,
}

impl FileError {
    /// Whether the error concerns the place rather than this one file: any other file would fail as well, and this
    /// one will succeed once the place works again.
    pub fn is_of_the_place(&self) -> bool {
        let of_the_place = matches!(
            self.source.kind(),
            ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::NotFound
        );
        let none_left = [Errno::MFILE, Errno::NFILE].map(|none_left| Some(none_left.raw_os_error()));
        let closed = self.action == CREATE && self.source.kind() == ErrorKind::PermissionDenied;
        of_the_place || closed || none_left.contains(&self.source.raw_os_error())
    }
}

/// The action of creating a new file: if it is not permitted, the folder does not permit it.
pub(crate) const CREATE: &str = "create";

/// What a person can do about it.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; free space on its volume",
        ErrorKind::ReadOnlyFilesystem => "; mount its volume for writing",
        ErrorKind::PermissionDenied => "; check the owner and the permissions",
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => "; something else is in its place",
        ErrorKind::NotFound => "; see whether its folder was removed or its volume is not mounted",
        _ => "",
    }
}

/// Adds action and file to an error.
pub(crate) trait Naming<T> {
    fn naming(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> Naming<T> for io::Result<T> {
    fn naming(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { action, path: path.to_owned(), source })
    }
}

/// Syncs a folder, so that the names in it are durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).naming("sync the folder", path)
}

/// Syncs the folder that names `path`.
pub(crate) fn sync_parent(path: &Path) -> Result<(), FileError> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Creates a private folder, and those above it; each new name is durable. An existing folder keeps its permissions;
/// those above it have what the process's umask leaves.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    make_folder(path, 0o700)
}

/// The same for a folder that others may read, as far as the process's umask allows it.
pub(crate) fn create_shared_folder(path: &Path) -> Result<(), FileError> {
    make_folder(path, 0o777)
}

/// Options for creating a private file.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
        create_shared_folder(parent)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other.naming("create the folder", path),
    }?;
    sync_parent(path)
}

/// Writes a small private file under a temporary name and renames it: a reader, also after a power cut, sees the
/// complete old file or the complete new one. The temporary name is `path` followed by `.new`.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = private_file().create(true).truncate(true).write(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().naming("write", &temporary)?;
    fs::rename(&temporary, path).naming("replace", path)?;
    sync_parent(path)
}

/// Reads a file of at most `limit` bytes; `None` if there is none.
pub(crate) fn read_small(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, FileError> {
    use std::io::Read;
    let file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.naming("open", path)?,
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).naming("read", path)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(ErrorKind::InvalidData, "the file is larger than it can be"))
            .naming("read", path);
    }
    Ok(Some(bytes))
}

/// Removes a file, if it exists.
pub(crate) fn remove_file(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).naming("remove", path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn others_read_neither_the_folders_nor_the_files_of_a_node_but_those_that_are_shared() {
        let rights = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let temp = tempfile::tempdir().unwrap();
        let plain = temp.path().join("plain");
        fs::create_dir(&plain).unwrap();
        let private = temp.path().join("above/private");
        create_folder(&private).unwrap();
        assert_eq!((rights(&private), rights(private.parent().unwrap())), (0o700, rights(&plain)));
        replace_file(&private.join("file"), b"text").unwrap();
        assert_eq!(rights(&private.join("file")), 0o600);
        let shared = temp.path().join("shared/folder");
        create_shared_folder(&shared).unwrap();
        assert_eq!(rights(&shared), rights(&plain));
    }

    fn failed(action: &'static str, kind: ErrorKind) -> FileError {
        FileError { action, path: "a/b".into(), source: kind.into() }
    }

    #[test]
    fn trouble_of_the_place_is_told_from_that_of_one_file() {
        for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::NotFound] {
            assert!(failed("write", kind).is_of_the_place(), "{kind}");
        }
        assert!(failed(CREATE, ErrorKind::PermissionDenied).is_of_the_place());
        assert!(!failed(CREATE, ErrorKind::InvalidInput).is_of_the_place());
        let source = io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        assert!(FileError { action: "open", path: "a/b".into(), source }.is_of_the_place());
        assert!(!failed("open", ErrorKind::PermissionDenied).is_of_the_place());
        assert!(!failed("read", ErrorKind::InvalidData).is_of_the_place());
    }

    #[test]
    fn an_error_names_the_action_the_file_and_the_remedy() {
        let text = failed("write", ErrorKind::StorageFull).to_string();
        assert!(
            text.starts_with("cannot write a/b: ") && text.ends_with("; free space on its volume"),
            "{text}"
        );
    }
}
