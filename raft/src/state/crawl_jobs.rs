//! The jobs of a crawl that have a record, by where they are.

use std::collections::BTreeMap;

use crate::model::{JobId, Operation, StorageId, Wants};

use super::broken::{Miscount, lower};
use super::checksum::Checksum;
use super::job::{JobRecord, Phase, Rank};

/// The ready jobs of a crawl in the order in which they are granted, and the number of the others.
#[derive(Default)]
pub(super) struct CrawlJobs {
    ready: ReadyJobs,
    /// Jobs with a record, in any phase.
    open: u64,
    /// Jobs that run or wait for their publication.
    leased: u64,
    /// Jobs that wait for a time or a host.
    delayed: u64,
}

/// Numbers of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct JobCounts {
    /// Jobs with a record, in any phase.
    pub(super) open: u64,
    pub(super) ready: u64,
    pub(super) delayed: u64,
    /// Jobs that run or wait for their publication.
    pub(super) leased: u64,
}

impl CrawlJobs {
    pub(super) fn counts(&self) -> JobCounts {
        let Self { ready, open, leased, delayed } = self;
        JobCounts { open: *open, ready: ready.len, delayed: *delayed, leased: *leased }
    }

    /// Some jobs have got a record. They are in no queue yet.
    pub(super) fn add(&mut self, jobs: u64) {
        self.open += jobs;
    }

    /// A job that is in no queue has lost its record.
    pub(super) fn drop_one(&mut self) -> Result<(), Miscount> {
        lower(&mut self.open, 1, "jobs")
    }

    /// Puts a job where the phase of its record says that it is.
    pub(super) fn place(&mut self, id: JobId, record: &JobRecord) {
        match *record.phase() {
            Phase::Ready { rank } => self.ready.insert(record.pin(), record.operation(), rank, id),
            Phase::Delayed { .. } | Phase::AtHost { .. } => self.delayed += 1,
            Phase::Leased { .. } | Phase::Publishing { .. } => self.leased += 1,
        }
    }

    /// Takes a job from where its record says that it is; returns whether it was there. The phase is stale until the
    /// job is placed again.
    #[must_use]
    pub(super) fn displace(&mut self, record: &JobRecord) -> bool {
        match *record.phase() {
            Phase::Ready { rank } => self.ready.remove(record.pin(), record.operation(), rank),
            Phase::Delayed { .. } | Phase::AtHost { .. } => {
                lower(&mut self.delayed, 1, "delayed jobs").is_ok()
            }
            Phase::Leased { .. } | Phase::Publishing { .. } => {
                lower(&mut self.leased, 1, "leased jobs").is_ok()
            }
        }
    }

    /// Drops all jobs but those that wait for their publication; these were not displaced.
    pub(super) fn keep_only_publishing(&mut self, publishing: u64) {
        self.ready = ReadyJobs::default();
        self.open = publishing;
    }

    /// The job that a node with this storage is granted first.
    pub(super) fn first_ready(&self, storage: StorageId, wants: &Wants) -> Option<JobId> {
        self.ready.first(storage, wants)
    }

    /// The ready jobs by storage and operation, each group in the order in which it is granted.
    pub(super) fn ready(&self) -> impl Iterator<Item = JobId> + '_ {
        self.ready.iter()
    }

    /// Number of ready jobs that can run on one storage only, by storage.
    pub(super) fn pinned(&self) -> impl Iterator<Item = (StorageId, u64)> {
        self.ready.by_storage()
    }

    /// Adds the counts that all replicas have to agree on.
    pub(super) fn add_to(&self, sum: &mut Checksum) {
        sum.number(self.open).number(self.leased).number(self.delayed);
    }
}

/// Ready jobs by storage, operation and rank.
#[derive(Default)]
struct ReadyJobs {
    anywhere: Lanes,
    pinned: BTreeMap<StorageId, Lanes>,
    len: u64,
}

/// Jobs in the order in which they are granted, by [`Operation::index`].
type Lanes = [BTreeMap<Rank, JobId>; 4];

impl ReadyJobs {
    fn by_storage(&self) -> impl Iterator<Item = (StorageId, u64)> {
        let count = |lanes: &Lanes| lanes.iter().map(|lane| lane.len() as u64).sum();
        self.pinned.iter().map(move |(&storage, lanes)| (storage, count(lanes)))
    }

    fn insert(&mut self, pin: Option<StorageId>, operation: Operation, rank: Rank, job: JobId) {
        let lanes = match pin {
            None => &mut self.anywhere,
            Some(storage) => self.pinned.entry(storage).or_default(),
        };
        if lanes[operation.index()].insert(rank, job).is_none() {
            self.len += 1;
        }
    }

    fn remove(&mut self, pin: Option<StorageId>, operation: Operation, rank: Rank) -> bool {
        let lanes = match pin {
            None => Some(&mut self.anywhere),
            Some(storage) => self.pinned.get_mut(&storage),
        };
        let Some(lanes) = lanes else { return false };
        let removed = lanes[operation.index()].remove(&rank).is_some();
        self.len -= u64::from(removed);
        if let Some(storage) = pin.filter(|_| lanes.iter().all(BTreeMap::is_empty)) {
            self.pinned.remove(&storage);
        }
        removed
    }

    fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        let lanes = std::iter::once(&self.anywhere).chain(self.pinned.values());
        lanes.flatten().flat_map(|lane| lane.values().copied())
    }

    fn first(&self, storage: StorageId, wants: &Wants) -> Option<JobId> {
        let here = [Some(&self.anywhere), self.pinned.get(&storage)];
        let heads = here.into_iter().flatten().flat_map(|lanes| {
            let wanted = Operation::ALL.into_iter().filter(|op| wants.takes(*op));
            wanted.filter_map(|op| lanes[op.index()].first_key_value())
        });
        heads.min().map(|(_, job)| *job)
    }
}

#[cfg(test)]
impl CrawlJobs {
    /// Loses count.
    pub(super) fn forget_open(&mut self) {
        self.open = 0;
    }
}
