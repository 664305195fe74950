//! Rate limits, backoff and time.

use super::*;

#[test]
fn a_limited_job_waits_for_its_time_and_goes_on_where_it_was() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let progress = draft(&job, 1, 500);
    tracker.tell(&mut node, &job, Finding::Limited { progress: Some(progress.clone()), after_ms: 60_000 });
    assert_eq!((tracker.view(crawl).delayed, tracker.view(crawl).leased), (1, 0));
    assert_eq!(tracker.state.next_due(30_000), Some(tracker.now + 60_000));
    assert!(!tracker.state.has_work(node.session, &Wants::any(1).into()));
    tracker.wait(59_999);
    assert_eq!(tracker.take(&mut node, 1), []);
    tracker.wait(1);
    assert!(tracker.state.has_work(node.session, &Wants::any(1).into()));
    let again = tracker.take_one(&mut node);
    assert_eq!((again.id, again.attempt, again.progress), (job.id, 1, Some(progress)));
    assert!(again.lease > job.lease, "TWM-L1: a later lease is larger");
    assert_eq!(tracker.view(crawl).counters.operations[0].limited, 1);
}

#[test]
fn limited_jobs_never_stand_in_the_way_of_those_that_can_run() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("TF"), 1..=4);
    let mut node = tracker.open(1);
    let limited = tracker.take_one(&mut node);
    tracker.tell(&mut node, &limited, Finding::Limited { progress: None, after_ms: 1_000 });
    let second = tracker.take_one(&mut node);
    assert_eq!(second.user, UserId::Number(2));
    tracker.wait(1_000);
    tracker.tell(&mut node, &second, Finding::HandedBack { progress: None });
    let order: Vec<_> = tracker.take(&mut node, 4).iter().map(|j| j.user.to_string()).collect();
    assert_eq!(order, ["2", "1", "3", "4"], "given back, then due, then fresh");
}

#[test]
fn twm_t1_cluster_time_never_goes_back() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.now = 50_000;
    tracker.tell(&mut node, &job, Finding::Limited { progress: None, after_ms: 1_000 });
    // A new leader's clock starts lower.
    tracker.now = 10;
    tracker.wait(0);
    assert_eq!(tracker.state.clock(), 50_000);
    tracker.now = 50_999;
    assert_eq!(tracker.take(&mut node, 1), []);
    tracker.now = 51_000;
    assert_eq!(tracker.take(&mut node, 1).len(), 1);
}
