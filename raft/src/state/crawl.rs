//! A crawl inside the state machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{CrawlCounters, CrawlPhase, CrawlSpec, JobId, Operation, StorageId, SubmitSummary, Wants};

use super::jobs::Rank;
use super::queue::SegmentQueue;
use super::saved::Saved;
use super::seen::SeenSet;

/// One submission and everything that belongs to it.
pub(super) struct Crawl {
    pub(super) record: Saved<CrawlRecord>,
    pub(super) queue: SegmentQueue,
    pub(super) frontier: SegmentQueue,
    pub(super) seen: SeenSet,
    /// Jobs with a record that can run, in the order in which they are granted.
    pub(super) ready: ReadyJobs,
    /// Number of jobs with a record, in any phase.
    pub(super) open: u64,
    pub(super) leased: u64,
    pub(super) delayed: u64,
    /// Whether the seen-set and the frontier are on disk only ([`retention`](super::retention)).
    pub(super) put_away: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CrawlRecord {
    pub(super) spec: CrawlSpec,
    pub(super) counters: CrawlCounters,
    /// All targets are in.
    pub(super) sealed: bool,
    pub(super) paused: bool,
    pub(super) cancelled: bool,
    /// The next chunk of targets and of seeds.
    pub(super) next_chunk: [u64; 2],
    /// The results of the last chunks of targets and of seeds, returned for repeated ones.
    pub(super) last_added: [SubmitSummary; 2],
    pub(super) submitted_at: u64,
    pub(super) ended_at: Option<u64>,
    /// Stride scheduling (Waldspurger and Weihl, 1995): the crawl with the smallest pass is served next, and
    /// each grant advances its pass by the inverse of its priority.
    pub(super) pass: u64,
}

/// How far one job advances the pass of a crawl with priority 1.
pub(super) const STRIDE: u64 = 1_000_000;

impl Crawl {
    pub(super) fn of(record: Saved<CrawlRecord>) -> Self {
        Self {
            record,
            queue: SegmentQueue::default(),
            frontier: SegmentQueue::default(),
            seen: SeenSet::default(),
            ready: ReadyJobs::default(),
            open: 0,
            leased: 0,
            delayed: 0,
            put_away: false,
        }
    }

    pub(super) fn phase(&self) -> CrawlPhase {
        let record = &self.record;
        if record.cancelled {
            CrawlPhase::Cancelled
        } else if record.ended_at.is_some() {
            CrawlPhase::Finished
        } else if record.paused {
            CrawlPhase::Paused
        } else if record.sealed {
            CrawlPhase::Running
        } else {
            CrawlPhase::Loading
        }
    }

    pub(super) fn grants(&self) -> bool {
        matches!(self.phase(), CrawlPhase::Running | CrawlPhase::Loading)
    }

    pub(super) fn counters(&mut self) -> &mut CrawlCounters {
        &mut self.record.change().counters
    }

    /// The first operation of a fresh account.
    pub(super) fn first_operation(&self) -> Option<Operation> {
        self.record.spec.operations.first()
    }

    /// Whether a node with this storage would be granted a job.
    pub(super) fn could_grant(&self, storage: StorageId, wants: &Wants) -> bool {
        self.grants() && (self.ready.first(storage, wants).is_some() || self.could_begin(wants))
    }

    pub(super) fn could_begin(&self, wants: &Wants) -> bool {
        !self.queue.is_empty() && self.first_operation().is_some_and(|op| wants.takes(op))
    }

    /// Counts one job granted while the scheduler is at `pass`, and returns the scheduler's new pass.
    ///
    /// A crawl that had nothing to grant for a while has fallen behind. It continues at the pass of the
    /// others, without credit for the time in between, or it would now keep them from their share (TWM-F1).
    /// Start-time fair queueing (Goyal, Vin and Cheng, 1996) does the same.
    pub(super) fn charge(&mut self, pass: u64) -> u64 {
        let stride = STRIDE / u64::from(self.record.spec.priority.max(1));
        let start = self.record.pass.max(pass);
        self.record.change().pass = start + stride;
        start
    }
}

/// Ready jobs by storage, operation and rank.
#[derive(Default)]
pub(super) struct ReadyJobs {
    anywhere: Lanes,
    pinned: BTreeMap<StorageId, Lanes>,
    len: u64,
}

/// Jobs in the order in which they are granted, by [`Operation::index`].
type Lanes = [BTreeMap<Rank, JobId>; 4];

impl ReadyJobs {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Number of jobs that can run on one storage only, by storage.
    pub(super) fn by_storage(&self) -> impl Iterator<Item = (StorageId, u64)> {
        let count = |lanes: &Lanes| lanes.iter().map(|lane| lane.len() as u64).sum();
        self.pinned.iter().map(move |(&storage, lanes)| (storage, count(lanes)))
    }

    pub(super) fn insert(&mut self, pin: Option<StorageId>, operation: Operation, rank: Rank, job: JobId) {
        let lanes = match pin {
            None => &mut self.anywhere,
            Some(storage) => self.pinned.entry(storage).or_default(),
        };
        if lanes[operation.index()].insert(rank, job).is_none() {
            self.len += 1;
        }
    }

    /// Returns whether it was there.
    #[must_use]
    pub(super) fn remove(&mut self, pin: Option<StorageId>, operation: Operation, rank: Rank) -> bool {
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

    /// All jobs by storage and operation, each group in the order in which it is granted.
    pub(super) fn iter(&self) -> impl Iterator<Item = JobId> + '_ {
        let lanes = std::iter::once(&self.anywhere).chain(self.pinned.values());
        lanes.flatten().flat_map(|lane| lane.values().copied())
    }

    /// The job that a node with this storage is granted first.
    pub(super) fn first(&self, storage: StorageId, wants: &Wants) -> Option<JobId> {
        let here = [Some(&self.anywhere), self.pinned.get(&storage)];
        let heads = here.into_iter().flatten().flat_map(|lanes| {
            let wanted = Operation::ALL.into_iter().filter(|op| wants.takes(*op));
            wanted.filter_map(|op| lanes[op.index()].first_key_value())
        });
        heads.min().map(|(_, job)| *job)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
