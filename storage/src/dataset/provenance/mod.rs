//! Provenance: for which crawl, when and how far each file was crawled.
//!
//! A node makes one [`Record`] of each publication. Records are collected on its disk and appended to the dataset in
//! *batches*. A batch is a gzip file of records, one JSON object a line; it is written once, and never changed or removed:
//!
//! ```text
//! .provenance/NODE-SPOOL-NUMBER.jsonl.gz    for example .provenance/1-3f2a9c01d4e5b677-12.jsonl.gz
//! ```
//!
//! In a keyspace, the table `provenance` has the same files. The name is drawn before the batch is written for the first
//! time, see [`BatchName`]: whoever writes it again because an answer was lost writes the same bytes under the same name.
//!
//! A publication that is repeated, or finished by another node, can have several records. Readers take one record of each file
//! and lease in an epoch of the output, see [`Distinct`].

mod batch;
mod distinct;
mod record;

use std::fmt;
use std::str::FromStr;

pub use batch::{Records, encode_batch, read_batch};
pub use distinct::Distinct;
pub use record::{CAPPED, Extent, FILE_LOST, LEFT_OUT, PROFILES_LOST, Record, utc};

/// The folder of batches in a dataset.
pub(super) const FOLDER: &str = ".provenance";
/// Ends the name of a batch.
const SUFFIX: &str = ".jsonl.gz";

/// The name of a batch. It is unique: a node draws an id for its spool folder each time that it starts, and numbers the batches
/// that begin in it until its end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchName {
    /// The node.
    pub node: u64,
    /// Drawn at the start of the node's process.
    pub spool: u64,
    /// Counts the batches of the process.
    pub number: u64,
}

impl BatchName {
    /// The name of its file in a dataset, with the folder.
    pub fn stored_name(&self) -> String {
        format!("{FOLDER}/{self}{SUFFIX}")
    }

    /// The batch of a file in a dataset; `None` if the file is none.
    pub fn of_stored_name(name: &str) -> Option<Self> {
        Self::of_file_name(name.strip_prefix(FOLDER)?.strip_prefix('/')?)
    }

    /// The same without the folder.
    pub(super) fn of_file_name(name: &str) -> Option<Self> {
        name.strip_suffix(SUFFIX)?.parse().ok()
    }
}

impl fmt::Display for BatchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}-{}", self.node, self.spool, self.number)
    }
}

/// A text that is no name of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no name of a batch of provenance; they are NODE-SPOOL-NUMBER, as in 1-3f2a9c01d4e5b677-12")]
pub struct InvalidBatchName;

impl FromStr for BatchName {
    type Err = InvalidBatchName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = (|| {
            let (node, rest) = text.split_once('-')?;
            let (spool, number) = rest.split_once('-')?;
            let (node, number) = (node.parse().ok()?, number.parse().ok()?);
            Some(Self { node, spool: u64::from_str_radix(spool, 16).ok()?, number })
        })();
        // Only the canonical spelling: one batch has one name.
        parsed.filter(|name| name.to_string() == text).ok_or(InvalidBatchName)
    }
}

/// A batch in a dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its name.
    pub name: BatchName,
    /// Its size as stored, bytes.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_name() {
        let name = BatchName { node: 1, spool: 0x3f2a_9c01_d4e5_b677, number: 12 };
        assert_eq!(name.stored_name(), ".provenance/1-3f2a9c01d4e5b677-12.jsonl.gz");
        assert_eq!(BatchName::of_stored_name(&name.stored_name()), Some(name));
        for other in [
            ".provenance/1-3f2a9c01d4e5b677-12.jsonl",
            ".provenance/01-3f2a9c01d4e5b677-12.jsonl.gz",
            ".provenance/1-3F2A9C01D4E5B677-12.jsonl.gz",
            ".provenance/1-2-3.jsonl.gz",
            ".provenance/1-3f2a9c01d4e5b677-12.jsonl.gz.5.part",
            "x/1-3f2a9c01d4e5b677-12.jsonl.gz",
            "22/22013880.twt",
        ] {
            assert_eq!(BatchName::of_stored_name(other), None, "{other}");
        }
    }
}
