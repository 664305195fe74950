//! Copies published files between datasets, byte for byte.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{DatasetError, FileKey, Result, dataset_files};
use crate::durable::{self, Naming};
#[cfg(feature = "s3")]
use crate::net::s3::{Attributes, Body, Bucket, Condition, PutOutcome};

const BUFFER_BYTES: usize = 128 * 1024;
/// Suffix of a file that is being copied.
const COPY: &str = ".copy";
/// Makes the names of such files unique.
static COPIES: AtomicU64 = AtomicU64::new(0);

/// Where a dataset is that is copied, or that comes of it.
#[derive(Debug, Clone)]
pub enum CopyPlace {
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    #[cfg(feature = "s3")]
    Bucket(Bucket),
}

/// A published file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    /// Which one.
    pub key: FileKey,
    /// Its size as stored, bytes.
    pub bytes: u64,
    place: Location,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    File(PathBuf),
    #[cfg(feature = "s3")]
    Object(String),
}

/// What has become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyOutcome {
    /// It was copied.
    Copied,
    /// It was there already, with the same size; with verification, with the same contents.
    Present,
}

impl CopyPlace {
    /// The published files, without reading them. Drafts and files that were set aside are skipped.
    ///
    /// # Errors
    /// The place cannot be listed.
    pub fn files(&self) -> Result<Box<dyn Iterator<Item = Result<CopySource>> + Send + '_>> {
        match self {
            Self::Folder(folder) => Ok(Box::new(dataset_files(folder)?.filter_map(|found| {
                let (key, path) = match found {
                    Ok(found) => found,
                    Err(error) => return Some(Err(error)),
                };
                // Of two names, that of the original program is an older file.
                let is_twin = path.extension().is_some_and(|end| end == "gz");
                if is_twin && path.with_extension("").exists() {
                    return None;
                }
                let bytes = match fs::metadata(&path).naming("look at", &path) {
                    Ok(found) => found.len(),
                    Err(error) => return Some(Err(error.into())),
                };
                Some(Ok(CopySource { key, bytes, place: Location::File(path) }))
            }))),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Ok(Box::new(bucket.list("", None).filter_map(|found| match found {
                // An empty object takes the place of a file that was set aside.
                Ok(object) if object.bytes > 0 => {
                    let key = FileKey::of_object(&object.key)?;
                    Some(Ok(CopySource { key, bytes: object.bytes, place: Location::Object(object.key) }))
                }
                Ok(_) => None,
                Err(error) => Some(Err(error.into())),
            }))),
        }
    }

    /// Copies a file of this dataset to another one, under the name that this program gives it. A file that is there is never
    /// replaced. With `verify`, reads both files to their ends, also one that was there already.
    ///
    /// `scratch` is a folder for downloads.
    ///
    /// # Errors
    /// The file cannot be read or written; or another one is in its place ([`DatasetError::Differs`]).
    pub fn copy(&self, file: &CopySource, to: &Self, scratch: &Path, verify: bool) -> Result<CopyOutcome> {
        let outcome = match to.size(&file.key)? {
            Some(bytes) if bytes == file.bytes => CopyOutcome::Present,
            Some(_) => return Err(DatasetError::Differs { path: to.path(&file.key)? }),
            None => {
                to.create(&file.key, self, file, scratch)?;
                CopyOutcome::Copied
            }
        };
        if verify && checksum(&mut *self.open(file)?, &self.location(file))? != to.checksum_of(&file.key)? {
            return Err(DatasetError::Differs { path: to.path(&file.key)? });
        }
        Ok(outcome)
    }

    fn size(&self, key: &FileKey) -> Result<Option<u64>> {
        match self {
            Self::Folder(folder) => {
                let path = key.path_under(folder)?;
                match fs::metadata(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    found => Ok(Some(found.naming("look at", &path)?.len())),
                }
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Ok(bucket.head(&key.object()?)?.map(|meta| meta.bytes)),
        }
    }

    fn checksum_of(&self, key: &FileKey) -> Result<(u64, u32)> {
        let place = match self {
            Self::Folder(folder) => Location::File(key.path_under(folder)?),
            #[cfg(feature = "s3")]
            Self::Bucket(_) => Location::Object(key.object()?),
        };
        let file = CopySource { key: key.clone(), bytes: 0, place };
        checksum(&mut *self.open(&file)?, &self.location(&file))
    }

    fn open(&self, file: &CopySource) -> Result<Box<dyn Read>> {
        match (self, &file.place) {
            (_, Location::File(path)) => Ok(Box::new(File::open(path).naming("open", path)?)),
            #[cfg(feature = "s3")]
            (Self::Bucket(bucket), Location::Object(key)) => match bucket.get(key)? {
                Some(object) => Ok(Box::new(object)),
                None => Err(DatasetError::Changed { path: self.location(file) }),
            },
            #[cfg(feature = "s3")]
            (Self::Folder(_), Location::Object(_)) => {
                Err(DatasetError::Changed { path: self.location(file) })
            }
        }
    }

    fn create(&self, key: &FileKey, from: &Self, file: &CopySource, scratch: &Path) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                let path = key.path_under(folder)?;
                if let Some(parent) = path.parent() {
                    durable::create_shared_folder(parent)?;
                }
                let mut copy = path.clone().into_os_string();
                copy.push(format!(
                    ".{}-{}{COPY}",
                    std::process::id(),
                    COPIES.fetch_add(1, Ordering::Relaxed)
                ));
                let copy = PathBuf::from(copy);
                from.download(file, &copy)?;
                // Unlike a rename, a link replaces nothing.
                let linked = fs::hard_link(&copy, &path);
                durable::remove_file(&copy)?;
                match linked {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        return Err(DatasetError::Differs { path });
                    }
                    other => other.naming("link", &path)?,
                }
                Ok(durable::sync_parent(&path)?)
            }
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => {
                let name = key.object()?;
                let mut downloaded = None;
                let body = match &file.place {
                    Location::File(path) => path.clone(),
                    Location::Object(_) => {
                        let path = scratch.join(format!("{}{COPY}", name.replace('/', "+")));
                        from.download(file, &path)?;
                        downloaded.insert(path).clone()
                    }
                };
                let written = bucket.put(&name, Body::File(body), &Attributes::new(), &Condition::Absent);
                if let Some(path) = downloaded {
                    durable::remove_file(&path)?;
                }
                // It may be our own, if an answer was lost: then it is complete.
                if written? == PutOutcome::Refused && self.size(key)? != Some(file.bytes) {
                    return Err(DatasetError::Differs { path: self.path(key)? });
                }
                Ok(())
            }
        }
    }

    /// Writes a file's bytes to a path, durable.
    fn download(&self, file: &CopySource, to: &Path) -> Result<()> {
        let mut from = self.open(file)?;
        durable::remove_file(to)?;
        let mut out = File::create_new(to).naming(durable::CREATE, to)?;
        let bytes = io::copy(&mut from, &mut out).map_err(|error| DatasetError::of_copy(error, to))?;
        if bytes != file.bytes {
            durable::remove_file(to)?;
            return Err(DatasetError::Changed { path: self.location(file) });
        }
        out.flush().naming("write", to)?;
        Ok(out.sync_all().naming("sync", to)?)
    }

    fn path(&self, key: &FileKey) -> Result<PathBuf> {
        match self {
            Self::Folder(folder) => key.path_under(folder),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => Ok(format!("{}/{}", bucket.url(), key.object()?).into()),
        }
    }

    fn location(&self, file: &CopySource) -> PathBuf {
        match (&file.place, self) {
            (Location::File(path), _) => path.clone(),
            #[cfg(feature = "s3")]
            (Location::Object(key), Self::Bucket(bucket)) => format!("{}/{key}", bucket.url()).into(),
            #[cfg(feature = "s3")]
            (Location::Object(key), Self::Folder(_)) => key.into(),
        }
    }
}

impl fmt::Display for CopyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            #[cfg(feature = "s3")]
            Self::Bucket(bucket) => f.write_str(bucket.place()),
        }
    }
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
    use super::*;
    use crate::ids::UserId;

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
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
        let (from, to) = (CopyPlace::Folder(from.path().into()), CopyPlace::Folder(to.path().into()));
        for round in 0..2 {
            let mut outcomes = Vec::new();
            for file in from.files().unwrap() {
                let file = file.unwrap();
                let copied = from.copy(&file, &to, Path::new("."), true);
                match copied {
                    Ok(outcome) => outcomes.push(outcome),
                    Err(DatasetError::Differs { path }) => assert!(path.ends_with("8/8.twt"), "{path:?}"),
                    Err(other) => panic!("{other}"),
                }
            }
            assert_eq!(outcomes, [[CopyOutcome::Copied; 4], [CopyOutcome::Present; 4]][round]);
        }
        let CopyPlace::Folder(to) = &to else { panic!() };
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
        let (from, to) = (CopyPlace::Folder(from.path().into()), CopyPlace::Folder(to.path().into()));
        let file = from.files().unwrap().next().unwrap().unwrap();
        assert_eq!(file.key, key);
        assert_eq!(from.copy(&file, &to, Path::new("."), false).unwrap(), CopyOutcome::Present);
        assert!(matches!(from.copy(&file, &to, Path::new("."), true), Err(DatasetError::Differs { .. })));
    }
}
