//! Leases that end while a worker runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use api::model::{Finding, Operation};
use futures::FutureExt;
use futures::future::BoxFuture;
use node::session::{Assignment, Ending, JobRunner};
use raft::command::{Limits, Mutation};
use storage::dataset::SourceName;
use storage::env::{Clock, SystemClock};
use tokio::sync::mpsc;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually};
use super::tracker::LocalTracker;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_lease_is_stale_stops_and_leaves_nothing() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 14, []);
    api.account(8, 2, []);
    api.gate("timeline", 7, 3);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 3).await;
    tracker.apply(Mutation::CancelCrawl { crawl });
    api.open_gate();
    rig.view.clone().wait_for(|view| view.busy == 0 && view.reports > 1).await.unwrap();
    eventually("the draft to be removed", || folder.drafts() == 0).await;
    assert!(!folder.has_timeline(7));
    // The session stays open.
    tracker.finished(tracker.submit("T", &[8])).await;
    assert_eq!(rig.view.borrow().sessions, 1);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_replaced_and_its_jobs_run_again() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 14, []);
    api.gate("timeline", 7, 3);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 3).await;
    tracker.end_sessions(false);
    rig.view.clone().wait_for(|view| view.sessions == 2).await.unwrap();
    api.open_gate();
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), super::rig::tweets(7, 14));
    eventually("no draft to be left", || folder.drafts() == 0).await;
    rig.stop().await;
}

/// Panics on the first job, or runs it until it is abandoned; later jobs complete at once.
struct Waiters {
    jobs: AtomicU32,
    panic_first: bool,
    abandoned: mpsc::UnboundedSender<bool>,
}

impl JobRunner for Waiters {
    fn run(self: Arc<Self>, assignment: Assignment) -> BoxFuture<'static, Ending> {
        async move {
            if self.jobs.fetch_add(1, Ordering::SeqCst) == 0 {
                if self.panic_first {
                    panic!("a worker's mistake");
                }
                assignment.abandoned().await;
                self.abandoned.send(assignment.stop().is_some()).unwrap();
            }
            Ending::Found(Finding::Completed { file: false, items: 0 })
        }
        .boxed()
    }

    fn sources(&self) -> Vec<SourceName> {
        vec![SourceName::default()]
    }

    fn capacity(&self, _: &SourceName, _: Operation) -> usize {
        usize::MAX
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_jobs_are_abandoned_before_their_leases_can_end() {
    let tracker = LocalTracker::new(Limits { session_ttl_ms: 500, ..LIMITS });
    let folder = Folder::new();
    let (sender, mut abandoned) = mpsc::unbounded_channel();
    let runner = Arc::new(Waiters { jobs: AtomicU32::new(0), panic_first: false, abandoned: sender });
    let crawl = tracker.submit("T", &[7]);
    let rig = Rig::with_crew(runner, &tracker, &folder, Arc::new(folder.dataset()));
    rig.view.clone().wait_for(|view| view.busy == 1).await.unwrap();
    let clock = SystemClock::new();
    tracker.silent.store(true, Ordering::SeqCst);
    assert!(abandoned.recv().await.unwrap());
    assert!(clock.monotonic() < Duration::from_millis(500), "{:?}", clock.monotonic());
    tracker.silent.store(false, Ordering::SeqCst);
    tracker.finished(crawl).await;
    assert!(rig.view.borrow().sessions >= 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_of_a_panicking_worker_is_tried_again() {
    let (tracker, folder) = (LocalTracker::new(LIMITS), Folder::new());
    let (sender, _abandoned) = mpsc::unbounded_channel();
    let runner = Arc::new(Waiters { jobs: AtomicU32::new(0), panic_first: true, abandoned: sender });
    let crawl = tracker.submit("T", &[7]);
    let rig = Rig::with_crew(runner, &tracker, &folder, Arc::new(folder.dataset()));
    let view = tracker.finished(crawl).await;
    assert_eq!(view.counters.users.completed, 1);
    assert_eq!(view.counters.operations[Operation::Timeline.index()].retried, 1);
    rig.stop().await;
}
