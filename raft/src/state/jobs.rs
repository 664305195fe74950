//! Jobs with a record of their own: leased, between two operations, delayed, or waiting for publication.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storage::dataset::{Account, FileKey, FileKind};
use storage::ids::UserId;

use crate::model::{
    CrawlId, Failure, FinalState, Gone, Job, JobId, LeaseId, Operation, Operations, Progress, SessionId,
    StorageId,
};

use super::keys;
use super::persist::{Changes, LoadError};

/// The kind of file that an operation writes.
pub(super) fn written_by(operation: Operation) -> Option<FileKind> {
    match operation {
        Operation::Timeline | Operation::Update => Some(FileKind::Timeline),
        Operation::Followers => Some(FileKind::Followers),
        Operation::Analysis => None,
    }
}

/// One account on its way through a crawl's operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JobRecord {
    pub(super) crawl: CrawlId,
    pub(super) user: UserId,
    pub(super) depth: u32,
    /// The operation that runs or waits to run.
    pub(super) current: Operation,
    /// The operations after it.
    pub(super) later: Operations,
    /// Failed attempts at the current operation.
    pub(super) failed_attempts: u32,
    pub(super) progress: Option<Progress>,
    /// The storage with the file that the current or a later operation reads.
    pub(super) holder: Option<StorageId>,
    /// Storages that turned out not to have that file.
    pub(super) without_input: Vec<StorageId>,
    /// How often that file was made again because no storage had it.
    pub(super) inputs_made: u32,
    /// Whether an operation has completed.
    pub(super) completed: bool,
    pub(super) gone: Vec<Gone>,
    pub(super) failures: Vec<Failure>,
    pub(super) phase: Phase,
}

/// The phase of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Could run.
    Ready { rank: Rank },
    /// Runs.
    Leased { lease: LeaseId, session: SessionId },
    /// Completed; its draft is not published yet (TWM-P1).
    Publishing {
        /// The lease that confirms the publication and names the draft.
        lease: LeaseId,
        /// The session that publishes it; absent while no session uses the storage.
        session: Option<SessionId>,
        /// Whether the session adopted it from another one.
        adopted: bool,
        storage: StorageId,
        items: u64,
    },
    /// Not before this cluster time.
    Delayed { until: u64 },
}

/// The rank of a ready job of a crawl: jobs that were handed back first, then in order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Rank {
    pub(super) late: bool,
    pub(super) order: u64,
}

impl JobRecord {
    /// The job of a new account; `None` if there is nothing to do.
    pub(super) fn fresh(crawl: CrawlId, user: UserId, depth: u32, operations: Operations) -> Option<Self> {
        let current = operations.first()?;
        Some(Self {
            crawl,
            user,
            depth,
            current,
            later: operations.without(current),
            failed_attempts: 0,
            progress: None,
            holder: None,
            without_input: Vec::new(),
            inputs_made: 0,
            completed: false,
            gone: Vec::new(),
            failures: Vec::new(),
            phase: Phase::Delayed { until: 0 },
        })
    }

    /// Makes the input of the current operation, because no reachable storage has it. An update then has
    /// nothing left to do: a whole timeline is up to date.
    pub(super) fn make_input_first(&mut self) {
        let Some(input) = self.current.input() else { return };
        if self.current == Operation::Analysis {
            self.later = self.later.with(Operation::Analysis);
        }
        self.current = input;
        self.failed_attempts = 0;
        self.progress = None;
        self.holder = None;
        self.without_input.clear();
    }

    /// The only storage on which the job can run as it is, if any.
    pub(super) fn pin(&self) -> Option<StorageId> {
        let draft = self.progress.as_ref().and_then(|p| p.draft.as_ref()).map(|d| d.storage);
        draft.or_else(|| self.current.input().and(self.holder))
    }

    /// The final state of the account once nothing is left to do.
    pub(super) fn final_state(&self) -> FinalState {
        if !self.failures.is_empty() {
            FinalState::Failed
        } else if self.completed || self.gone.is_empty() {
            FinalState::Completed
        } else {
            FinalState::Gone
        }
    }

    pub(super) fn lease(&self) -> Option<LeaseId> {
        match self.phase {
            Phase::Leased { lease, .. } | Phase::Publishing { lease, .. } => Some(lease),
            Phase::Ready { .. } | Phase::Delayed { .. } => None,
        }
    }

    /// Whether it waits for the confirmation of its publication.
    pub(super) fn is_publishing(&self) -> bool {
        matches!(self.phase, Phase::Publishing { .. })
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        match self.phase {
            Phase::Leased { session, .. } => Some(session),
            Phase::Publishing { session, .. } => session,
            Phase::Ready { .. } | Phase::Delayed { .. } => None,
        }
    }

    pub(super) fn file(&self) -> Option<FileKey> {
        written_by(self.current).map(|kind| FileKey { account: Account::from(&self.user), kind })
    }

    /// The job as a worker receives it. Only for a leased job.
    pub(super) fn granted(&self, id: JobId, lease: LeaseId) -> Job {
        Job {
            id,
            lease,
            crawl: self.crawl,
            user: self.user.clone(),
            operation: self.current,
            depth: self.depth,
            attempt: self.failed_attempts + 1,
            progress: self.progress.clone(),
        }
    }
}

/// All jobs with a record, and which records the next checkpoint has to write.
#[derive(Default)]
pub(super) struct JobTable {
    entries: BTreeMap<JobId, Entry>,
    dirty: Vec<JobId>,
    removed: Vec<JobId>,
    /// Delayed jobs by the time at which they may run.
    pub(super) delayed: BTreeSet<(u64, JobId)>,
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
