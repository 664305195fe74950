//! The marker of a bucket's owner.

use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use super::super::marker::{FILE, LONGEST};
use super::super::{DatasetError, Marker, OutputState, Result};
use crate::net::s3::{Attributes, Bucket, Condition, PutOutcome};

/// Begins the names of objects that nodes make for themselves.
const OWN: &str = ".twm-";

/// A bucket as the output of a cluster: [`Marker`] does the same for a folder.
#[derive(Debug, Clone, Copy)]
pub struct BucketOutput<'a> {
    bucket: &'a Bucket,
}

impl<'a> BucketOutput<'a> {
    /// The output in a bucket.
    pub fn new(bucket: &'a Bucket) -> Self {
        Self { bucket }
    }

    /// Examines the output. Writes nothing.
    ///
    /// # Errors
    /// The bucket cannot be read, or its marker is damaged or of a newer program.
    pub fn look(&self) -> Result<OutputState> {
        if let Some(marker) = self.read()? {
            return Ok(OutputState::Marked(marker));
        }
        for found in self.bucket.list("", None) {
            // Objects of nodes that were killed while they tried the store out.
            if !found?.key.starts_with(OWN) {
                return Ok(OutputState::Unmarked);
            }
        }
        Ok(OutputState::Empty)
    }

    /// The marker, if there is one.
    ///
    /// # Errors
    /// It cannot be read, is damaged or of a newer program.
    pub fn read(&self) -> Result<Option<Marker>> {
        Ok(self.versioned()?.map(|(marker, _)| marker))
    }

    /// Marks an output that has no marker. Of several nodes that do so, the first one marks it. Returns the effective
    /// marker.
    ///
    /// # Errors
    /// The bucket cannot be written.
    pub fn claim(&self, marker: Marker) -> Result<Marker> {
        match self.write(marker, &Condition::Absent)? {
            PutOutcome::Written(_) => Ok(marker),
            PutOutcome::Refused => self.read()?.ok_or_else(|| self.bad("it vanished".to_owned())),
        }
    }

    /// Takes the output over from its owner, in a higher epoch. Drafts of the former owner stay in its own epoch.
    ///
    /// # Errors
    /// The bucket cannot be written, or another node takes it over as well.
    pub fn replace(&self, marker: Marker) -> Result<Marker> {
        let before = match self.versioned() {
            Err(DatasetError::BadMarker { .. }) => {
                let replaced = Marker { epoch: unknown_epoch(), ..marker };
                self.write(replaced, &Condition::Any)?;
                return Ok(replaced);
            }
            other => other?,
        };
        let Some((before, etag)) = before else {
            return self.claim(Marker { epoch: unknown_epoch(), ..marker });
        };
        let replaced = Marker { epoch: before.epoch + 1, ..marker };
        match self.write(replaced, &Condition::Matches(etag))? {
            PutOutcome::Written(_) => Ok(replaced),
            PutOutcome::Refused => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    /// Replaces the marker, and leaves everything else as it is: drafts and leases go on in their epoch.
    ///
    /// # Errors
    /// The bucket cannot be written, or another node replaces the marker as well.
    pub fn put(&self, marker: Marker) -> Result<()> {
        let condition = self.versioned()?.map_or(Condition::Absent, |(_, etag)| Condition::Matches(etag));
        match self.write(marker, &condition)? {
            PutOutcome::Written(_) => Ok(()),
            PutOutcome::Refused => Err(DatasetError::Changed { path: self.path() }),
        }
    }

    fn write(&self, marker: Marker, condition: &Condition) -> Result<PutOutcome> {
        let written =
            self.bucket.put(FILE, marker.text().into_bytes().into(), &Attributes::new(), condition)?;
        if written == PutOutcome::Refused && self.read()? == Some(marker) {
            // The answer to our own first attempt was lost.
            return Ok(PutOutcome::Written(String::new()));
        }
        Ok(written)
    }

    fn versioned(&self) -> Result<Option<(Marker, String)>> {
        let Some(object) = self.bucket.get(FILE)? else { return Ok(None) };
        let etag = object.meta().etag.clone();
        let mut text = Vec::new();
        object
            .take(LONGEST)
            .read_to_end(&mut text)
            .map_err(|error| DatasetError::of_copy(error, &self.path()))?;
        let marker = Marker::parse(&String::from_utf8_lossy(&text)).map_err(|why| self.bad(why))?;
        Ok(Some((marker, etag)))
    }

    fn bad(&self, why: String) -> DatasetError {
        DatasetError::BadMarker { path: self.path(), why }
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("{}/{FILE}", self.bucket.url()))
    }
}

/// The epoch of an output whose marker is damaged or was lost: the seconds since 1970 are more than any count.
fn unknown_epoch() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}
