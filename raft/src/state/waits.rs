//! What a crawl's jobs wait for.

use crate::model::{CrawlId, StorageId};

use super::State;
use super::job::Phase;

/// Most delayed jobs examined for one answer, because the state is locked meanwhile.
const MOST_LOOKED_AT: usize = 10_000;

/// What a crawl's jobs wait for, as far as this replica knows. Times are cluster time, ms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitSummary {
    /// Jobs that wait for a rate budget.
    pub limited: Delays,
    /// Jobs that wait for their next attempt after a failed one.
    pub retries: Delays,
    /// Jobs that could run, by the only storage with the files they need.
    pub pinned: Vec<PinnedJobs>,
    /// Whether more jobs are delayed than were examined: those that wait longest were left out.
    pub partial: bool,
}

/// Some delayed jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delays {
    /// How many.
    pub jobs: u64,
    /// When the first of them may run; 0 without any.
    pub first_at: u64,
    /// When the last of them may run; 0 without any.
    pub last_at: u64,
}

impl Delays {
    /// Adds a job; jobs come in the order of their times.
    fn add(&mut self, at: u64) {
        if self.jobs == 0 {
            self.first_at = at;
        }
        self.jobs += 1;
        self.last_at = at;
    }
}

/// Jobs that can run on one storage only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedJobs {
    /// The storage of their files.
    pub storage: StorageId,
    /// How many.
    pub jobs: u64,
    /// Since when no session uses the storage; absent while one does.
    pub absent_since: Option<u64>,
}

impl State {
    /// What a crawl's jobs wait for; empty for an unknown crawl.
    pub fn waits(&self, id: CrawlId) -> WaitSummary {
        let Some(crawl) = self.crawls.get(id) else { return WaitSummary::default() };
        let mut waits =
            WaitSummary { partial: self.jobs.delayed().len() > MOST_LOOKED_AT, ..WaitSummary::default() };
        for &(at, job) in self.jobs.delayed().iter().take(MOST_LOOKED_AT) {
            let Some(record) = self.jobs.get(job).filter(|record| record.crawl() == id) else { continue };
            debug_assert!(
                matches!(record.phase(), Phase::Delayed { .. }),
                "a delayed job is in phase delayed"
            );
            let delays = if record.has_failed_attempts() { &mut waits.retries } else { &mut waits.limited };
            delays.add(at);
        }
        let pinned = crawl.jobs().pinned().map(|(storage, jobs)| PinnedJobs {
            storage,
            jobs,
            absent_since: self.head.absent.get(&storage).copied(),
        });
        waits.pinned = pinned.collect();
        waits
    }
}
