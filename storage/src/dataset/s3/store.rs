//! A dataset in a bucket, for tools.

use std::fmt;
use std::io::Read;
use std::path::Path;

use super::super::provenance::{BatchName, FOLDER, StoredBatch};
use super::super::store::{Rewritable, Store, StoredBatches, StoredFile, StoredFiles};
use super::super::{DatasetError, FileKey, OutputState, Result};
use super::BucketOutput;
use crate::net::s3::{Attributes, Body, Bucket, Condition, PutOutcome};

/// Most names tried for an unreadable file.
const MAX_ASIDE: u32 = 10_000;

/// The published objects of a dataset. An empty object takes the place of a file that was set aside, and counts as none.
#[derive(Debug, Clone)]
pub struct BucketStore(Bucket);

impl BucketStore {
    /// The dataset in a bucket.
    pub fn new(bucket: Bucket) -> Self {
        Self(bucket)
    }

    fn changed(&self, name: &str) -> DatasetError {
        DatasetError::Changed { path: format!("{self}/{name}").into() }
    }

    /// Replaces the version that was read, whose fence stays: publications go on from it.
    fn put(&self, read: &StoredFile, body: Body) -> Result<()> {
        let there = self.0.head(&read.name)?.filter(|there| there.etag == read.version);
        let Some(there) = there else { return Err(self.changed(&read.name)) };
        let condition = Condition::Matches(there.etag);
        match self.0.put(&read.name, body, &there.attributes, &condition)? {
            PutOutcome::Written(_) => Ok(()),
            PutOutcome::Refused => Err(self.changed(&read.name)),
        }
    }
}

impl Store for BucketStore {
    fn files(&self) -> Result<StoredFiles<'_>> {
        Ok(Box::new(self.0.list("", None).filter_map(|found| match found {
            Ok(object) if object.bytes > 0 => {
                StoredFile::of_name(&object.key, object.bytes, object.etag).map(Ok)
            }
            Ok(_) => None,
            Err(error) => Some(Err(error.into())),
        })))
    }

    fn lookup(&self, name: &str) -> Result<Option<StoredFile>> {
        let there = self.0.head(name)?.filter(|there| there.bytes > 0);
        Ok(there.and_then(|there| StoredFile::of_name(name, there.bytes, there.etag)))
    }

    fn look(&self) -> Result<OutputState> {
        BucketOutput::new(&self.0).look()
    }

    fn open(&self, file: &StoredFile) -> Result<Box<dyn Read + Send>> {
        match self.0.get(&file.name)? {
            Some(object) if object.meta().etag == file.version => Ok(Box::new(object)),
            _ => Err(self.changed(&file.name)),
        }
    }

    fn batches(&self) -> Result<StoredBatches<'_>> {
        Ok(Box::new(self.0.list(&format!("{FOLDER}/"), None).filter_map(|found| match found {
            Ok(object) => {
                let name = BatchName::of_stored_name(&object.key)?;
                Some(Ok(StoredBatch { name, bytes: object.bytes }))
            }
            Err(error) => Some(Err(error.into())),
        })))
    }

    fn open_batch(&self, name: &BatchName) -> Result<Box<dyn Read + Send>> {
        match self.0.get(&name.stored_name())? {
            Some(object) => Ok(Box::new(object)),
            None => Err(self.changed(&name.stored_name())),
        }
    }

    fn create_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
        put_batch(&self.0, name, bytes)
    }

    fn create(&self, key: &FileKey, from: &Path) -> Result<bool> {
        let name = key.stored_name()?;
        let put = |attributes: &Attributes, condition: &Condition| {
            let written = self.0.put(&name, Body::File(from.to_owned()), attributes, condition)?;
            Ok::<_, DatasetError>(matches!(written, PutOutcome::Written(_)))
        };
        if put(&Attributes::new(), &Condition::Absent)? {
            return Ok(true);
        }
        match self.0.head(&name)? {
            Some(empty) if empty.bytes == 0 => put(&empty.attributes, &Condition::Matches(empty.etag)),
            _ => Ok(false),
        }
    }
}

/// Writes a batch that is not there yet; returns whether it did. One request.
pub(super) fn put_batch(bucket: &Bucket, name: &BatchName, bytes: Vec<u8>) -> Result<bool> {
    let name = name.stored_name();
    let written = bucket.put(&name, bytes.into(), &Attributes::new(), &Condition::Absent)?;
    Ok(matches!(written, PutOutcome::Written(_)))
}

impl Rewritable for BucketStore {
    fn replace(&self, read: &StoredFile, from: &Path) -> Result<()> {
        self.put(read, Body::File(from.to_owned()))
    }

    fn keep_aside(&self, read: &StoredFile, bytes: &Path) -> Result<String> {
        for n in 1..MAX_ASIDE {
            let number = if n == 1 { String::new() } else { format!("-{n}") };
            let to = format!("{}.unreadable{number}", read.name);
            let body = Body::File(bytes.to_owned());
            if self.0.put(&to, body, &Attributes::new(), &Condition::Absent)? != PutOutcome::Refused {
                return Ok(to);
            }
        }
        Err(DatasetError::Exists { path: format!("{self}/{}.unreadable", read.name).into() })
    }

    /// An empty object takes its place: servers ignore conditions of deletions.
    fn remove(&self, read: &StoredFile) -> Result<()> {
        self.put(read, Vec::new().into())
    }
}

impl fmt::Display for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.url())
    }
}
