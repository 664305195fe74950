//! Copies published files between places.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Store, StoredFile};
use crate::dataset::{Codec, DatasetError, FileKey, Result};
use crate::durable::{self, Naming};

const BUFFER_BYTES: usize = 128 * 1024;

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// It was copied.
    Copied,
    /// It was there already, with the same size if both places keep bytes; with verification, with the same contents.
    Present,
}

/// Copies files from one place to another.
pub struct Copying<'a> {
    /// The dataset that is copied.
    pub from: &'a dyn Store,
    /// Where it is copied to.
    pub to: &'a dyn Store,
    /// A folder for files on their way.
    pub scratch: &'a Path,
    /// Whether both files of each pair are read to their ends and compared.
    pub verify: bool,
}

impl Copying<'_> {
    /// Copies a published file, under the name that this program gives it. A file that is there is never replaced.
    ///
    /// # Errors
    /// The file cannot be read or written; or another one is in its place ([`DatasetError::Differs`]).
    pub fn copy(&self, file: &StoredFile) -> Result<CopyOutcome> {
        let differs = || DatasetError::Differs { path: place(self.to, &file.key) };
        let outcome = match self.is_there(file)? {
            Some(true) => CopyOutcome::Present,
            Some(false) => return Err(differs()),
            None if self.create(file)? => CopyOutcome::Copied,
            // It may be our own, if an answer was lost: then it is complete.
            None if self.is_there(file)? == Some(true) => CopyOutcome::Copied,
            None => return Err(differs()),
        };
        if self.verify {
            let copy = self.to.find(&file.key)?.ok_or_else(differs)?;
            if self.checksum(self.from, file)? != self.checksum(self.to, &copy)? {
                return Err(differs());
            }
        }
        Ok(outcome)
    }

    /// Whether the bytes of a file and of its copy are the same.
    fn keeps_bytes(&self) -> bool {
        self.from.keeps_bytes() && self.to.keeps_bytes()
    }

    /// Whether the other place has a file of this key that may be a copy of this one; `None` if it has no such file.
    fn is_there(&self, file: &StoredFile) -> Result<Option<bool>> {
        let there = self.to.find(&file.key)?;
        Ok(there.map(|there| !self.keeps_bytes() || there.bytes == file.bytes))
    }

    fn create(&self, file: &StoredFile) -> Result<bool> {
        if let Some(path) = self.from.local_path(file) {
            return self.to.create(&file.key, &path);
        }
        let path = self.scratch.join(file.name.replace('/', "+"));
        let created = fetch(self.from, file, &path).and_then(|()| self.to.create(&file.key, &path));
        durable::remove_file(&path)?;
        created
    }

    /// Length and CRC-32 of the stored bytes; where a place does not keep them, of the decoded ones.
    fn checksum(&self, store: &dyn Store, file: &StoredFile) -> Result<(u64, u32)> {
        let path = PathBuf::from(format!("{store}/{}", file.name));
        let mut bytes: Box<dyn Read + Send> = store.open(file)?;
        if !self.keeps_bytes() {
            let mut start = BufReader::with_capacity(BUFFER_BYTES, bytes);
            let codec =
                Codec::of_start(start.fill_buf().map_err(|error| DatasetError::of_copy(error, &path))?);
            bytes = Box::new(codec.decode(start).naming("read", &path)?);
        }
        checksum(&mut *bytes, &path)
    }
}

/// Writes the bytes of a stored file to a local one.
///
/// # Errors
/// The file was replaced meanwhile or cannot be read, or the local one cannot be written.
pub fn fetch(store: &dyn Store, file: &StoredFile, to: &Path) -> Result<()> {
    let mut from = store.open(file)?;
    durable::remove_file(to)?;
    let mut out = File::create_new(to).naming(durable::CREATE, to)?;
    let bytes = io::copy(&mut from, &mut out).map_err(|error| DatasetError::of_copy(error, to))?;
    if bytes != file.bytes {
        return Err(DatasetError::Changed { path: format!("{store}/{}", file.name).into() });
    }
    Ok(())
}

/// Where a store has a published file, for messages.
fn place(store: &dyn Store, key: &FileKey) -> PathBuf {
    let name = key.stored_name().unwrap_or_else(|_| key.to_string());
    format!("{store}/{name}").into()
}

/// Length and CRC-32.
fn checksum(from: &mut dyn Read, path: &Path) -> Result<(u64, u32)> {
    let (mut length, mut sum) = (0, crc32fast::Hasher::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer).map_err(|error| DatasetError::of_copy(error, path))?;
        if read == 0 {
            return Ok((length, sum.finalize()));
        }
        length += read as u64;
        sum.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::dataset::store::Folder;
    use crate::ids::UserId;

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn copying<'a>(from: &'a Folder, to: &'a Folder, verify: bool) -> Copying<'a> {
        Copying { from, to, scratch: Path::new("."), verify }
    }

    #[test]
    fn a_copy_is_resumed_and_replaces_nothing() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(from.path(), "22/22013880.twt", b"timeline");
        put(from.path(), "7/7.fws.gz", b"list of the original");
        put(from.path(), "bluesky/f0/did%3Aplc%3Aa.twt", b"posts");
        put(from.path(), ".tmp/7.fws.3", b"draft");
        put(from.path(), "8/8.twt", b"old");
        put(from.path(), "9/9.twt.gz", b"older twin");
        put(from.path(), "9/9.twt", b"newer");
        put(to.path(), "8/8.twt", b"another");
        let (from, to) = (Folder::new(from.path()), Folder::new(to.path()));
        let copying = copying(&from, &to, true);
        for round in 0..2 {
            let mut outcomes = Vec::new();
            for file in from.files().unwrap() {
                let file = file.unwrap();
                let copied = copying.copy(&file);
                match copied {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(DatasetError::Differs { path }) => assert!(path.ends_with("8/8.twt"), "{path:?}"),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(outcomes, [[CopyOutcome::Copied; 4], [CopyOutcome::Present; 4]][round]);
        }
        let to = to.path();
        assert_eq!(fs::read(to.join("8/8.twt")).unwrap(), b"another");
        assert_eq!(fs::read(to.join("7/7.fws")).unwrap(), b"list of the original");
        assert_eq!(fs::read(to.join("9/9.twt")).unwrap(), b"newer");
        let user = "did:plc:a".parse().unwrap();
        let posts = crate::dataset::Account { source: "bluesky".parse().unwrap(), user }.timeline();
        assert_eq!(fs::read(posts.path_under(to).unwrap()).unwrap(), b"posts");
        assert_eq!(fs::read_dir(to.join("7")).unwrap().count(), 1);
        assert!(!to.join(".tmp").exists());
    }

    #[test]
    fn verification_finds_a_copy_of_the_same_size() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(from.path(), "8/8.twt", b"one");
        put(to.path(), "8/8.twt", b"two");
        let key = FileKey::timeline(&UserId::Number(8));
        let (from, to) = (Folder::new(from.path()), Folder::new(to.path()));
        let file = from.files().unwrap().next().unwrap().unwrap();
        assert_eq!(file.key, key);
        assert_eq!(copying(&from, &to, false).copy(&file).unwrap(), CopyOutcome::Present);
        assert!(matches!(copying(&from, &to, true).copy(&file), Err(DatasetError::Differs { .. })));
    }
}
