//! Pause, resume and cancel.

use super::*;

fn pause(tracker: &mut Tracker, crawl: CrawlId) -> Response {
    tracker.apply(Mutation::PauseCrawl { crawl })
}

fn resume(tracker: &mut Tracker, crawl: CrawlId) -> Response {
    tracker.apply(Mutation::ResumeCrawl { crawl })
}

fn cancel(tracker: &mut Tracker, crawl: CrawlId) -> Response {
    tracker.apply(Mutation::CancelCrawl { crawl })
}

#[test]
fn a_paused_crawl_grants_nothing_and_its_running_jobs_go_on() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TF"), [1, 2]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    assert_eq!(pause(&mut tracker, crawl), Response::Done);
    assert_eq!(pause(&mut tracker, crawl), Response::Done);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Paused);
    assert_eq!(tracker.take(&mut node, 5), []);
    assert!(!tracker.state.has_work(node.session, &Wants::any(5)));
    tracker.finish(&mut node, &job);
    assert_eq!(tracker.take(&mut node, 5), [], "nor the next operation");
    assert_eq!(resume(&mut tracker, crawl), Response::Done);
    assert_eq!(operations(&tracker.finish_all(&mut node)), "FTF");
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn a_paused_crawl_takes_targets_and_finishes_with_its_last_job() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    tracker.add(crawl, 0, [1]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    pause(&mut tracker, crawl);
    tracker.seal(crawl);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Paused);
    tracker.finish(&mut node, &job);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn a_crawl_that_is_over_cannot_be_cancelled_or_resumed() {
    let mut tracker = Tracker::new();
    let finished = tracker.submit(spec("T"), []);
    let wrong = |response| matches!(response, Response::Refused(Refusal::WrongPhase { .. }));
    assert!(wrong(cancel(&mut tracker, finished)));
    let cancelled = tracker.submit(spec("T"), [1]);
    assert_eq!(cancel(&mut tracker, cancelled), Response::Done);
    assert_eq!(cancel(&mut tracker, cancelled), Response::Done);
    assert!(wrong(resume(&mut tracker, cancelled)));
    assert!(wrong(pause(&mut tracker, cancelled)));
    let request = RequestId { client: 1, sequence: 1 };
    assert!(wrong(tracker.apply(Mutation::RetryErrors { request, crawl: cancelled, user: None, limit: 1 })));
    assert!(matches!(cancel(&mut tracker, CrawlId(99)), Response::Refused(Refusal::NoSuchCrawl(_))));
}

/// A crawl with a job in each phase, and another one that waits for one of its files.
fn one_in_each_phase() -> (Tracker, Node, Vec<Job>, CrawlId) {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TF"), 1..=9);
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, 6);
    tracker.tell(&mut node, &jobs[0], Finding::Completed { file: true, items: 1 });
    tracker.tell(&mut node, &jobs[1], Finding::Limited { progress: None, after_ms: 500 });
    tracker.tell(&mut node, &jobs[2], Finding::HandedBack { progress: None });
    tracker.finish(&mut node, &jobs[3]);
    tracker.tell(&mut node, &jobs[4], Finding::Advanced(draft(&jobs[4], 1, 70)));
    (tracker, node, jobs, crawl)
}

#[test]
fn a_cancelled_crawl_leaves_nothing_behind() {
    let (mut tracker, mut node, jobs, crawl) = one_in_each_phase();
    let view = tracker.view(crawl);
    assert_eq!((view.queued, view.ready, view.leased, view.delayed), (3, 2, 3, 1));
    assert_eq!(cancel(&mut tracker, crawl), Response::Done);
    let view = tracker.view(crawl);
    assert_eq!((view.queued, view.ready, view.leased, view.delayed), (0, 0, 0, 0));
    let expected = UserCounters { accepted: 9, cancelled: 9, ..Default::default() };
    assert_eq!((view.counters.users, view.phase), (expected, CrawlPhase::Cancelled));
    assert_eq!((tracker.state.sizes().jobs, tracker.state.writers.len()), (0, 0));
    assert_eq!(tracker.state.sessions()[0].leased, 0);
    assert_eq!(tracker.state.next_due(30_000), None);
    for job in &jobs {
        for finding in [Finding::Published, Finding::Completed { file: true, items: 1 }] {
            let answer = tracker.report(&mut node, vec![(job.id, job.lease, finding)], Wants::any(1));
            assert_eq!(answer, ReportAnswer { stale: vec![job.lease], ..Default::default() });
        }
    }
    let leases: Vec<_> = jobs.iter().map(|j| j.lease).collect();
    assert_eq!(tracker.state.drafts_in_use(&leases), []);
    assert_eq!(tracker.users(crawl), expected);
}

#[test]
fn a_cancelled_crawls_files_are_free_for_others() {
    let (mut tracker, mut node, _, crawl) = one_in_each_phase();
    let other = tracker.submit(spec("T"), 1..=9);
    cancel(&mut tracker, crawl);
    assert_eq!(tracker.finish_all(&mut node).len(), 9);
    assert_eq!(tracker.phase(other), CrawlPhase::Finished);
}

#[test]
fn a_session_that_held_a_cancelled_crawls_jobs_ends_well() {
    for graceful in [true, false] {
        let (mut tracker, node, _, crawl) = one_in_each_phase();
        cancel(&mut tracker, crawl);
        let end = Mutation::EndSession { session: node.session, graceful };
        assert_eq!(tracker.apply(end), Response::Done);
        tracker.wait(60_000);
        let mut next = tracker.open(1);
        assert_eq!(tracker.report(&mut next, Vec::new(), Wants::any(9)), ReportAnswer::default());
    }
}

#[test]
fn a_crawl_is_cancelled_from_every_phase_and_keeps_its_errors_and_frontier() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("A"));
    tracker.add(crawl, 0, [1, 2]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let found = Finding::Discovered { admitted: ids([7]), discarded: vec![], progress: cursor("1") };
    tracker.tell(&mut node, &job, found);
    tracker.tell(&mut node, &job, failed("fault", false));
    let loading = tracker.create(spec("T"));
    tracker.add(loading, 0, [5]);
    let paused = tracker.submit(spec("T"), [6]);
    pause(&mut tracker, paused);
    for crawl in [crawl, loading, paused] {
        assert_eq!(cancel(&mut tracker, crawl), Response::Done);
        assert_eq!(tracker.phase(crawl), CrawlPhase::Cancelled);
    }
    let expected = UserCounters { accepted: 2, failed: 1, cancelled: 1, ..Default::default() };
    assert_eq!(tracker.users(crawl), expected);
    assert_eq!((tracker.errors(crawl).len(), tracker.state.frontier(crawl, 0).unwrap().users), (1, ids([7])));
    let add = Mutation::AddTargets { crawl: loading, chunk: 1, users: ids([9]), seeds: false };
    assert!(matches!(tracker.apply(add), Response::Refused(Refusal::WrongPhase { .. })));
    assert_eq!(tracker.take(&mut node, 9), []);
}
