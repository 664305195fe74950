//! Which job writes which file (TWM-L3).

use std::collections::HashMap;

use storage::dataset::FileKey;

use crate::model::JobId;

use super::checksum::Checksum;

/// The writer of each file that is being written. Its order is never observed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct FileWriters(HashMap<FileKey, JobId>);

impl FileWriters {
    /// The job that writes a file.
    pub(super) fn writer(&self, file: &FileKey) -> Option<JobId> {
        self.0.get(file).copied()
    }

    /// Reserves a file for a job.
    pub(super) fn reserve(&mut self, file: FileKey, job: JobId) {
        self.0.insert(file, job);
    }

    /// Frees a file for other jobs.
    pub(super) fn release(&mut self, file: &FileKey) {
        self.0.remove(file);
    }

    /// Number of files that are being written.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A checksum that does not depend on the order.
    pub(super) fn sum(&self) -> u64 {
        let entry = |(file, job): (&FileKey, &JobId)| {
            let mut sum = Checksum::default();
            if let Some(source) = file.account.source.folder() {
                sum.record(&source);
            }
            sum.record(&file.account.user).number(file.kind as u64).record(job).finish()
        };
        self.0.iter().map(entry).fold(0, u64::wrapping_add)
    }
}
