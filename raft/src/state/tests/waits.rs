//! What a crawl's jobs are reported to wait for.

use super::*;
use crate::state::waits::{Delays, PinnedJobs};

#[test]
fn jobs_that_wait_are_told_apart_by_what_they_wait_for_and_until_when() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [1, 2, 3]);
    let other = tracker.submit(spec("T"), [4]);
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, 4);
    let of = |user: u64| jobs.iter().find(|job| job.user == user.into()).unwrap();
    let limited = |after_ms| Finding::Limited { progress: None, after_ms };
    let reason = "HTTP 500".to_owned();
    let failed = Finding::Failed { progress: None, reason, after_ms: 400, retry: true };
    tracker.tell(&mut node, of(1), limited(900));
    tracker.tell(&mut node, of(2), limited(300));
    tracker.tell(&mut node, of(3), failed);
    tracker.tell(&mut node, of(4), limited(50));
    let waits = tracker.state.waits(crawl);
    let now = tracker.now;
    assert_eq!(waits.limited, Delays { jobs: 2, first_at: now + 300, last_at: now + 900 });
    assert_eq!(waits.retries, Delays { jobs: 1, first_at: now + 400, last_at: now + 400 });
    assert_eq!(tracker.state.waits(other).limited.jobs, 1);
    assert!(waits.pinned.is_empty() && !waits.partial);
    assert_eq!(tracker.state.waits(CrawlId(99)), Default::default());
}

#[test]
fn jobs_whose_files_lie_on_an_absent_storage_are_named_with_it() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open_on(1, 1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, 1, 500)));
    tracker.close(&node);
    let pinned = tracker.state.waits(crawl).pinned;
    let absent_since = Some(tracker.now);
    assert_eq!(pinned, [PinnedJobs { storage: StorageId(1), jobs: 1, absent_since }]);
    tracker.open_on(1, 1);
    assert_eq!(tracker.state.waits(crawl).pinned[0].absent_since, None);
}

#[test]
fn a_summary_says_when_more_jobs_are_delayed_than_it_looked_at() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("T"), [1]);
    (0..10_000).for_each(|n| tracker.state.jobs.enqueue_delayed(5, JobId(100 + n)));
    assert!(!tracker.state.waits(crawl).partial);
    tracker.state.jobs.enqueue_delayed(5, JobId(99));
    assert!(tracker.state.waits(crawl).partial);
}
