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
    assert!(!tracker.state.has_work(node.session, &Wants::any(5).into()));
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
fn a_cancellation_that_is_repeated_changes_nothing() {
    let mut tracker = Tracker::new();
    tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
    let crawl = tracker.submit(spec("T"), [1, 2]);
    assert_eq!(cancel(&mut tracker, crawl), Response::Done);
    let before = (tracker.state.crawl(crawl).unwrap().ended_at, tracker.state.outbox().newest);
    tracker.now += 60_000;
    assert_eq!(cancel(&mut tracker, crawl), Response::Done);
    assert_eq!((tracker.state.crawl(crawl).unwrap().ended_at, tracker.state.outbox().newest), before);
}

#[test]
fn a_retry_that_finds_no_error_leaves_a_finished_crawl_as_it_is() {
    let mut tracker = Tracker::new();
    tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
    let crawl = tracker.submit(spec("T"), []);
    let before = (tracker.view(crawl), tracker.state.outbox().newest);
    assert_eq!(before.0.phase, CrawlPhase::Finished);
    let request = RequestId { client: 9, sequence: 1 };
    let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 10 };
    assert_eq!(tracker.apply(retry), Response::Retried(0));
    assert_eq!((tracker.view(crawl), tracker.state.outbox().newest), before);
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
fn a_cancelled_crawl_leaves_nothing_behind_but_the_publication_under_way() {
    let (mut tracker, mut node, jobs, crawl) = one_in_each_phase();
    let view = tracker.view(crawl);
    assert_eq!((view.queued, view.ready, view.leased, view.delayed), (3, 2, 3, 1));
    assert_eq!(cancel(&mut tracker, crawl), Response::Done);
    let view = tracker.view(crawl);
    assert_eq!((view.queued, view.ready, view.leased, view.delayed), (0, 0, 1, 0));
    let expected = UserCounters { accepted: 9, cancelled: 9, ..Default::default() };
    assert_eq!((view.counters.users, view.phase), (expected, CrawlPhase::Cancelled));
    assert_eq!((tracker.state.sizes().jobs, tracker.state.writers.len()), (1, 1));
    assert_eq!(tracker.state.sessions()[0].leased, 0);
    assert_eq!(tracker.state.next_due(30_000), None);
    for job in &jobs[1..] {
        for finding in [Finding::Published, Finding::Completed { file: true, items: 1 }] {
            let answer = tracker.report(&mut node, vec![(job.id, job.lease, finding)], Wants::any(1));
            assert_eq!(answer, ReportAnswer { stale: vec![job.lease], ..Default::default() });
        }
    }
    let leases: Vec<_> = jobs.iter().map(|j| j.lease).collect();
    assert_eq!(tracker.state.drafts_in_use(&leases), [jobs[0].lease]);
    tracker.apply(Mutation::RaiseVersion { to: 2 });
    let refused = tracker.apply(Mutation::DeleteCrawl { crawl });
    assert!(matches!(refused, Response::Refused(Refusal::NotEnded { open: 1, .. })), "{refused:?}");
    tracker.tell(&mut node, &jobs[0], Finding::Published);
    assert_eq!((tracker.state.sizes().jobs, tracker.state.writers.len()), (0, 0));
    assert_eq!(tracker.state.drafts_in_use(&leases), []);
    assert_eq!(tracker.users(crawl), expected);
}

/// A publisher that is stalled in its rename may continue at any moment: until it has confirmed, nobody else writes
/// the file.
#[test]
fn a_cancelled_crawls_file_is_free_for_others_once_its_publication_is_over() {
    for confirmed in [true, false] {
        let (mut tracker, mut node, jobs, crawl) = one_in_each_phase();
        let other = tracker.submit(spec("T"), 1..=9);
        cancel(&mut tracker, crawl);
        let done = tracker.finish_all(&mut node);
        assert_eq!(done.len(), 8, "the ninth writes the file that is being published");
        match confirmed {
            true => {
                tracker.tell(&mut node, &jobs[0], Finding::Published);
                tracker.wait(1_000);
            }
            // Its storage does not come back in time and is given up.
            false => {
                tracker.apply(Mutation::EndSession { session: node.session, graceful: false });
                tracker.wait(60_000);
                node = tracker.open(2);
            }
        }
        assert_eq!(tracker.finish_all(&mut node).len(), 1);
        assert_eq!(tracker.phase(other), CrawlPhase::Finished);
    }
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

#[test]
fn an_attempt_of_a_write_that_comes_late_undoes_nothing() {
    let mut tracker = Tracker::new();
    (2..=3).for_each(|to| drop(tracker.apply(Mutation::RaiseVersion { to })));
    let crawl = tracker.submit(spec("T"), 1..=3);
    let once = |sequence, write| Mutation::Once { request: RequestId { client: 9, sequence }, write };
    let pause = once(1, Write::PauseCrawl { crawl });
    assert_eq!(tracker.apply(pause.clone()), Response::Done);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Paused);
    assert_eq!(tracker.apply(once(2, Write::ResumeCrawl { crawl })), Response::Done);
    assert_eq!(tracker.apply(pause), Response::Done);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Running);

    let drain = once(3, Write::Drain { node: 1, drained: true });
    tracker.apply(drain.clone());
    tracker.apply(once(4, Write::Drain { node: 1, drained: false }));
    tracker.apply(drain);
    assert!(!tracker.state.is_drained(1));

    // A refusal stands, even if the change would now be possible.
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 3) {
        tracker.tell(&mut node, &job, failed("fault", false));
    }
    let cancel = once(5, Write::CancelCrawl { crawl });
    let is_refused = |answer| matches!(answer, Response::Refused(Refusal::WrongPhase { .. }));
    assert!(is_refused(tracker.apply(cancel.clone())));
    let request = RequestId { client: 9, sequence: 6 };
    tracker.apply(Mutation::RetryErrors { request, crawl, user: None, limit: 9 });
    assert!(is_refused(tracker.apply(cancel)));
    assert_eq!(tracker.phase(crawl), CrawlPhase::Running);
}

#[test]
fn a_write_with_a_request_id_needs_its_version() {
    let mut tracker = Tracker::new();
    let write = Write::Drain { node: 1, drained: true };
    let once = Mutation::Once { request: RequestId { client: 1, sequence: 1 }, write };
    let answer = tracker.apply(once);
    assert!(matches!(answer, Response::Refused(Refusal::NeedsVersion { needs: 3, .. })), "{answer:?}");
    assert!(!tracker.state.is_drained(1));
}
