//! Where drafts and files are stored, and what happens when a storage is lost.

use super::*;

const GRACE: u64 = 30_000;

/// A crawl with one account whose timeline node 1 has half downloaded.
fn half_done(storage: u64) -> (Tracker, Node, Job, CrawlId) {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open_on(1, storage);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Advanced(draft(&job, storage, 500)));
    (tracker, node, job, crawl)
}

#[test]
fn a_crash_on_a_local_storage_drops_its_drafts() {
    let (mut tracker, lost, job, _) = half_done(1);
    let mut other = tracker.open(2);
    tracker.lose(&lost);
    let again = tracker.take_one(&mut other);
    assert_eq!((again.id, again.progress), (job.id, None));
    assert_eq!(tracker.state.drafts_in_use(&[job.lease, again.lease]), [again.lease]);
}

#[test]
fn a_graceful_end_keeps_the_drafts_for_the_next_session_of_the_storage() {
    let (mut tracker, closed, job, _) = half_done(1);
    let mut other = tracker.open(2);
    tracker.close(&closed);
    assert_eq!(tracker.state.drafts_in_use(&[job.lease]), [job.lease]);
    assert_eq!(tracker.take(&mut other, 5), []);
    assert!(!tracker.state.has_work(other.session, &Wants::any(5).into()));
    let mut back = tracker.open(1);
    let again = tracker.take_one(&mut back);
    assert_eq!(again.progress, Some(draft(&job, 1, 500)));
    tracker.finish(&mut back, &again);
}

#[test]
fn a_storage_that_stays_away_is_given_up_and_its_jobs_run_elsewhere() {
    let (mut tracker, closed, job, crawl) = half_done(1);
    let mut other = tracker.open(2);
    tracker.close(&closed);
    assert_eq!(tracker.state.next_due(GRACE), Some(tracker.now + GRACE));
    tracker.wait(GRACE - 1);
    assert_eq!(tracker.take(&mut other, 5), []);
    tracker.wait(1);
    assert_eq!(tracker.state.next_due(GRACE), None);
    let again = tracker.take_one(&mut other);
    assert_eq!((again.id, again.progress.clone()), (job.id, None));
    tracker.finish(&mut other, &again);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn a_delayed_job_of_a_storage_that_stays_away_keeps_its_time() {
    let (mut tracker, mut closed, job, _) = half_done(1);
    let mut other = tracker.open(2);
    tracker.tell(&mut closed, &job, Finding::Limited { progress: None, after_ms: 2 * GRACE });
    tracker.close(&closed);
    tracker.wait(GRACE);
    assert_eq!(tracker.take(&mut other, 5), []);
    tracker.wait(GRACE);
    assert_eq!(tracker.take_one(&mut other).progress, None);
}

#[test]
fn a_shared_storage_hands_its_drafts_on() {
    let (mut tracker, lost, job, _) = half_done(5);
    let mut other = tracker.open_on(2, 5);
    tracker.lose(&lost);
    assert_eq!(tracker.take_one(&mut other).progress, Some(draft(&job, 5, 500)));
}

#[test]
fn an_analysis_runs_where_the_followers_are() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("FA"), [7]);
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let job = tracker.take_one(&mut one);
    tracker.finish(&mut one, &job);
    assert_eq!(tracker.take(&mut two, 5), []);
    assert_eq!(tracker.take_one(&mut one).operation, Operation::Analysis);
}

#[test]
fn followers_are_fetched_again_when_the_node_that_has_them_is_lost() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("FA"), [7]);
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let job = tracker.take_one(&mut one);
    tracker.finish(&mut one, &job);
    let analysis = tracker.take_one(&mut one);
    tracker.tell(&mut one, &analysis, Finding::Advanced(cursor("300")));
    tracker.lose(&one);
    let again = tracker.take_one(&mut two);
    assert_eq!((again.operation, again.progress.clone()), (Operation::Followers, None));
    tracker.finish(&mut two, &again);
    assert_eq!(operations(&tracker.finish_all(&mut two)), "A");
    assert_eq!(tracker.users(crawl).completed, 1);
}

#[test]
fn an_analysis_with_a_cursor_stays_where_it_began() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("A"), [7]);
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let job = tracker.take_one(&mut one);
    tracker.tell(&mut one, &job, Finding::Limited { progress: Some(cursor("300")), after_ms: 10 });
    tracker.wait(10);
    assert_eq!(tracker.take(&mut two, 5), [], "the cursor counts the followers in the first node's file");
    assert_eq!(tracker.take_one(&mut one).progress, Some(cursor("300")));
}

#[test]
fn a_draft_elsewhere_than_on_the_sessions_storage_is_not_kept() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let elsewhere = Some(draft(&job, 99, 10));
    tracker.tell(&mut node, &job, Finding::HandedBack { progress: elsewhere });
    assert_eq!(tracker.take_one(&mut node).progress, None);
}

#[test]
fn a_missing_input_is_looked_for_on_every_storage_and_then_made() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("A"), [7]);
    let mut nodes = [tracker.open(1), tracker.open(2), tracker.open(3)];
    for node in &mut nodes {
        let job = tracker.take_one(node);
        assert_eq!((job.operation, tracker.view(crawl).leased), (Operation::Analysis, 1));
        tracker.tell(node, &job, Finding::InputMissing);
    }
    assert_eq!(operations(&tracker.finish_all(&mut nodes[1])), "FA");
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn an_update_without_a_timeline_becomes_a_download() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("U"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    assert_eq!(job.operation, Operation::Update);
    tracker.tell(&mut node, &job, Finding::InputMissing);
    assert_eq!(operations(&tracker.finish_all(&mut node)), "T", "a whole timeline is up to date");
    assert_eq!(tracker.users(crawl).completed, 1);
}

#[test]
fn an_input_that_is_missing_each_time_it_was_made_ends_in_the_error_list() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("FA"), [7]);
    let mut node = tracker.open(1);
    let mut downloads = 0;
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        if job.operation == Operation::Analysis {
            tracker.tell(&mut node, &job, Finding::InputMissing);
            continue;
        }
        downloads += 1;
        assert!(downloads <= 4, "it is downloaded for ever");
        tracker.finish(&mut node, &job);
    }
    assert_eq!(downloads, 4, "once, and as often again as a job is tried");
    assert_eq!(tracker.users(crawl).failed, 1);
    assert_eq!(tracker.errors(crawl)[0].why[0].operation, Operation::Analysis);
}

/// A crawl with one account whose timeline node 1 has completed and not published.
fn unpublished(storage: u64) -> (Tracker, Node, Job, CrawlId) {
    let (mut tracker, mut node, job, crawl) = half_done(storage);
    let answer = tracker.tell(&mut node, &job, Finding::Completed { file: true, items: 50 });
    let (user, lease) = (job.user.clone(), job.lease);
    let publication = Publication {
        job: job.id,
        lease,
        draft: lease,
        user,
        operation: job.operation,
        source: job.source.clone(),
    };
    assert_eq!(answer.publish, [publication]);
    (tracker, node, job, crawl)
}

#[test]
fn twm_p1_the_next_session_of_the_storage_publishes_what_a_crash_left() {
    for graceful in [true, false] {
        let (mut tracker, node, job, crawl) = unpublished(1);
        let mut other = tracker.open(2);
        let end = Mutation::EndSession { session: node.session, graceful };
        assert_eq!(tracker.apply(end), Response::Done);
        assert_eq!(tracker.report(&mut other, Vec::new(), Wants::any(5)), ReportAnswer::default());
        assert_eq!(tracker.state.drafts_in_use(&[job.lease]), [job.lease]);
        let mut next = tracker.open(1);
        assert!(tracker.state.has_work(next.session, &Wants::NONE.into()));
        for _ in 0..2 {
            let answer = tracker.report(&mut next, Vec::new(), Wants::any(5));
            assert_eq!((answer.publish.len(), answer.granted.len()), (1, 0));
            assert_eq!(answer.publish[0].lease, job.lease);
        }
        tracker.tell(&mut next, &job, Finding::Published);
        assert_eq!(tracker.report(&mut next, Vec::new(), Wants::any(5)), ReportAnswer::default());
        let counters = tracker.view(crawl).counters;
        assert_eq!((counters.users.completed, counters.operations[0].completed), (1, 1));
        let late = tracker.report(&mut next, vec![(job.id, job.lease, Finding::Published)], Wants::NONE);
        assert_eq!(late.stale, [job.lease], "confirmed once");
        assert_eq!(tracker.state.drafts_in_use(&[job.lease]), []);
    }
}

#[test]
fn twm_p1_a_session_of_the_same_shared_storage_publishes_at_once() {
    let (mut tracker, lost, job, crawl) = unpublished(5);
    let mut other = tracker.open_on(2, 5);
    tracker.lose(&lost);
    let answer = tracker.report(&mut other, Vec::new(), Wants::NONE);
    assert_eq!(answer.publish.iter().map(|p| p.draft).collect::<Vec<_>>(), [job.lease]);
    tracker.tell(&mut other, &job, Finding::Published);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn twm_p1_a_publication_is_handed_on_through_any_number_of_sessions() {
    let (mut tracker, mut last, job, crawl) = unpublished(5);
    for node in 2..6 {
        let next = tracker.open_on(node, 5);
        tracker.lose(&last);
        last = next;
    }
    tracker.tell(&mut last, &job, Finding::Published);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn an_unpublished_draft_is_made_again_when_its_storage_is_gone() {
    let (mut tracker, lost, job, crawl) = unpublished(1);
    let mut other = tracker.open(2);
    tracker.lose(&lost);
    tracker.wait(GRACE);
    let again = tracker.take_one(&mut other);
    assert_eq!((again.id, again.progress.clone()), (job.id, None));
    tracker.finish(&mut other, &again);
    assert_eq!(tracker.view(crawl).counters.operations[0].completed, 1);
    // The storage comes back later: its draft belongs to nobody.
    let mut back = tracker.open(1);
    assert_eq!(tracker.report(&mut back, Vec::new(), Wants::any(1)), ReportAnswer::default());
    assert_eq!(tracker.state.drafts_in_use(&[job.lease]), []);
}
