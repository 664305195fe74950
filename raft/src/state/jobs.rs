//! Jobs with a record of their own: leased, between two operations, delayed, or waiting for publication.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::JobId;

use super::job::JobRecord;
use super::keys;
use super::persist::{Changes, LoadError};

/// All jobs with a record, and which records the next checkpoint has to write.
#[derive(Default)]
pub(super) struct JobTable {
    entries: BTreeMap<JobId, Entry>,
    dirty: Vec<JobId>,
    removed: Vec<JobId>,
    /// Delayed jobs by the time at which they may run.
    delayed: BTreeSet<(u64, JobId)>,
}

struct Entry {
    record: JobRecord,
    dirty: bool,
    on_disk: bool,
}

impl JobTable {
    pub(super) fn insert(&mut self, id: JobId, record: JobRecord) {
        self.dirty.push(id);
        self.entries.insert(id, Entry { record, dirty: true, on_disk: false });
    }

    pub(super) fn get(&self, id: JobId) -> Option<&JobRecord> {
        self.entries.get(&id).map(|e| &e.record)
    }

    /// For a change that the next checkpoint has to write.
    pub(super) fn get_mut(&mut self, id: JobId) -> Option<&mut JobRecord> {
        let entry = self.entries.get_mut(&id)?;
        if !entry.dirty {
            entry.dirty = true;
            self.dirty.push(id);
        }
        Some(&mut entry.record)
    }

    pub(super) fn remove(&mut self, id: JobId) -> Option<JobRecord> {
        let entry = self.entries.remove(&id)?;
        if entry.on_disk {
            self.removed.push(id);
        }
        Some(entry.record)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (JobId, &JobRecord)> {
        self.entries.iter().map(|(&id, e)| (id, &e.record))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Delayed jobs by the cluster time at which they may run.
    pub(super) fn delayed(&self) -> &BTreeSet<(u64, JobId)> {
        &self.delayed
    }

    /// Adds a job to the queue of delayed jobs.
    pub(super) fn enqueue_delayed(&mut self, until: u64, id: JobId) {
        self.delayed.insert((until, id));
    }

    /// Takes a job out of that queue; returns whether it was there.
    #[must_use]
    pub(super) fn dequeue_delayed(&mut self, until: u64, id: JobId) -> bool {
        self.delayed.remove(&(until, id))
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        for id in self.removed.drain(..) {
            changes.delete(keys::job(id));
        }
        for id in self.dirty.drain(..) {
            // Most jobs begin and end between two checkpoints and never reach the disk.
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.dirty = false;
            entry.on_disk = true;
            changes.put_record("job", keys::job(id), &entry.record);
        }
    }

    pub(super) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<JobId, LoadError> {
        let damaged = || LoadError::damaged("job", key);
        let id = JobId(keys::number_at(key, 1).ok_or_else(damaged)?);
        let record = postcard::from_bytes(value).map_err(|_| damaged())?;
        self.entries.insert(id, Entry { record, dirty: false, on_disk: true });
        Ok(id)
    }
}
