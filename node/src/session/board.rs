//! The running jobs, for display.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::model::{CrawlId, Job, LeaseId, Operation};
use storage::dataset::provenance::Extent;
use storage::ids::UserId;

/// The progress of a running job, kept by its worker.
#[derive(Debug, Default)]
pub struct JobGauge {
    pages: AtomicU64,
    items: AtomicU64,
    extent: Mutex<Extent>,
}

impl JobGauge {
    /// One more page, with this many new items.
    pub fn page(&self, items: u64) {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.items.fetch_add(items, Ordering::Relaxed);
    }

    /// The file will lack something, for one more reason.
    pub(super) fn cut_short(&self, why: &str) {
        let mut extent = self.lock();
        if !extent.cut_short.iter().any(|known| known == why) {
            extent.cut_short.push(why.to_owned());
        }
    }

    /// The walk continues that of an earlier lease.
    pub(super) fn resumed(&self) {
        self.lock().resumed = true;
    }

    /// How far the file is crawled.
    pub(super) fn extent(&self) -> Extent {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Extent> {
        self.extent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running job, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownJob {
    /// Its lease.
    pub lease: LeaseId,
    /// Its crawl.
    pub crawl: CrawlId,
    /// The account.
    pub user: UserId,
    /// What is done.
    pub operation: Operation,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// How long it has run here.
    pub running: Duration,
    /// Pages fetched here.
    pub pages: u64,
    /// Number of tweets, followers or profiles received.
    pub items: u64,
}

/// The jobs that run on this node.
#[derive(Debug, Default)]
pub struct JobBoard {
    jobs: Mutex<BTreeMap<LeaseId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    crawl: CrawlId,
    user: UserId,
    operation: Operation,
    attempt: u32,
    since: Duration,
    gauge: Arc<JobGauge>,
}

impl JobBoard {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<LeaseId, Entry>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker starts a job at this monotonic time. Returns the gauge of its progress.
    pub(super) fn begin(&self, job: &Job, since: Duration) -> Arc<JobGauge> {
        let gauge = Arc::new(JobGauge::default());
        let entry = Entry {
            crawl: job.crawl,
            user: job.user.clone(),
            operation: job.operation,
            attempt: job.attempt,
            since,
            gauge: gauge.clone(),
        };
        self.lock().insert(job.lease, entry);
        gauge
    }

    /// A worker has ended its job.
    pub(super) fn end(&self, lease: LeaseId) {
        self.lock().remove(&lease);
    }

    /// The longest-running jobs, at most `most`, and the number of all.
    pub fn show(&self, now: Duration, most: usize) -> (Vec<ShownJob>, usize) {
        let jobs = self.lock();
        // A later grant has a larger lease.
        let shown = jobs.iter().take(most).map(|(&lease, entry)| ShownJob {
            lease,
            crawl: entry.crawl,
            user: entry.user.clone(),
            operation: entry.operation,
            attempt: entry.attempt,
            running: now.saturating_sub(entry.since),
            pages: entry.gauge.pages.load(Ordering::Relaxed),
            items: entry.gauge.items.load(Ordering::Relaxed),
        });
        (shown.collect(), jobs.len())
    }
}

#[cfg(test)]
mod tests {
    use api::model::JobId;

    use super::*;

    #[test]
    fn the_jobs_that_have_run_longest_are_shown_with_how_far_they_are() {
        let board = JobBoard::default();
        let job = |lease| Job {
            id: JobId(lease),
            lease: LeaseId(lease),
            crawl: CrawlId(1),
            user: (lease * 10).into(),
            operation: Operation::Timeline,
            depth: 0,
            attempt: 2,
            progress: None,
            source: Default::default(),
        };
        let gauges: Vec<_> =
            (1..=3).map(|lease| board.begin(&job(lease), Duration::from_secs(lease))).collect();
        gauges[0].page(20);
        gauges[0].page(5);
        board.end(LeaseId(2));
        let (shown, running) = board.show(Duration::from_secs(10), 1);
        assert_eq!(running, 2);
        let [first] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!((first.user.clone(), first.attempt), (10.into(), 2));
        assert_eq!((first.pages, first.items, first.running), (2, 25, Duration::from_secs(9)));
        assert_eq!(board.show(Duration::ZERO, 9).0.len(), 2);
    }
}
