//! What is read of the state, and its size.

use super::*;
use crate::state::Upcoming;

#[test]
fn the_next_jobs_are_those_that_were_handed_back_and_then_fresh_accounts_crawl_by_crawl() {
    let mut tracker = Tracker::new();
    let first = tracker.submit(spec("T"), [1, 2, 3]);
    tracker.submit(spec("F"), [7, 8]);
    let mut node = tracker.open(1);
    // The crawls take turns.
    for job in tracker.take(&mut node, 4) {
        tracker.tell(&mut node, &job, Finding::HandedBack { progress: Some(cursor("page 2")) });
    }
    let next = |operation, user, cursor: Option<&str>| Upcoming {
        operation,
        user: UserId::Number(user),
        cursor: cursor.map(str::to_owned),
    };
    let all = [
        next(Operation::Timeline, 1, Some("page 2")),
        next(Operation::Timeline, 2, Some("page 2")),
        next(Operation::Timeline, 3, None),
        next(Operation::Followers, 7, Some("page 2")),
        next(Operation::Followers, 8, Some("page 2")),
    ];
    for limit in 0..7 {
        assert_eq!(tracker.state.upcoming(limit), all[..limit.min(5)], "at most {limit}");
    }
    tracker.apply(Mutation::CancelCrawl { crawl: first });
    assert_eq!(tracker.state.upcoming(9), all[3..]);
}

#[test]
fn running_jobs_are_counted_by_their_operation() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [1, 2]);
    tracker.submit(spec("F"), [3]);
    let mut node = tracker.open(1);
    assert_eq!(tracker.state.ongoing(), [0; 4]);
    let jobs = tracker.take(&mut node, 9);
    assert_eq!(tracker.state.ongoing(), [2, 0, 1, 0]);
    tracker.tell(&mut node, &jobs[0], Finding::HandedBack { progress: None });
    assert_eq!(tracker.state.ongoing().iter().sum::<u64>(), 2);
}

#[test]
fn a_frontier_is_read_before_any_checkpoint_has_it() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("A"), [1]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let found = Finding::Discovered { admitted: ids(10..15), discarded: ids([99]), progress: cursor("1") };
    tracker.tell(&mut node, &job, found);
    let page = |tracker: &Tracker, from| {
        let page = tracker.state.frontier(crawl, from).unwrap();
        (page.users, page.next)
    };
    assert_eq!(page(&tracker, 0), (ids(10..15), None));
    assert_eq!(page(&tracker, 3), (ids(13..15), None));
    assert_eq!(page(&tracker, 5), (Vec::new(), None));
    assert_eq!(tracker.state.frontier(CrawlId(9), 0).unwrap().users, []);
}

#[test]
fn a_long_frontier_is_read_in_pages_that_name_the_next_one() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("A"), [1]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let admitted = ids(10..20_015);
    tracker.tell(&mut node, &job, Finding::Discovered { admitted, discarded: vec![], progress: cursor("1") });
    for checkpoint in [false, true] {
        if checkpoint {
            tracker.finish(&mut node, &job);
            tracker.restart();
        }
        let mut from = Some(0);
        let mut read = Vec::new();
        while let Some(at) = from {
            let page = tracker.state.frontier(crawl, at).unwrap();
            assert!(page.users.len() <= 10_000);
            from = page.next;
            read.extend(page.users);
        }
        assert_eq!(read, ids(10..20_015));
    }
}

#[test]
fn the_size_of_the_state_counts_jobs_waiting_accounts_frontiers_and_seen_sets() {
    let mut tracker = Tracker::without_restarts();
    let empty = tracker.state.sizes();
    assert_eq!((empty.jobs, empty.queue_bytes, empty.seen_ids), (0, 0, 0));
    let crawl = tracker.submit(spec("A"), 1..=10_000);
    let waiting = tracker.state.sizes();
    assert!((1_000..=160_000).contains(&waiting.queue_bytes), "{waiting:?}");
    assert!((1_000..=160_000).contains(&waiting.seen_bytes), "{waiting:?}");
    assert_eq!((waiting.jobs, waiting.seen_ids), (0, 10_000));
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let admitted = ids(20_000..30_000);
    tracker.tell(&mut node, &job, Finding::Discovered { admitted, discarded: vec![], progress: cursor("1") });
    let found = tracker.state.sizes();
    assert_eq!((found.jobs, found.seen_ids), (1, 20_000));
    let grown = found.queue_bytes as f64 / waiting.queue_bytes as f64;
    assert!((1.5..2.5).contains(&grown), "a frontier of the same length: {waiting:?}, {found:?}");
    tracker.apply(Mutation::CancelCrawl { crawl });
    let cancelled = tracker.state.sizes();
    assert!(cancelled.queue_bytes < found.queue_bytes * 2 / 3, "only the frontier is left: {cancelled:?}");
    assert_eq!(tracker.state.crawl_spec(crawl).unwrap().operations.to_string(), "A");
    let text = vec!["a@long.example.org".parse().unwrap()];
    let (other, before) = (tracker.create(spec("T")), tracker.state.sizes());
    tracker.apply(Mutation::AddTargets { crawl: other, chunk: 0, users: text, seeds: true });
    let with_text = tracker.state.sizes();
    assert_eq!(with_text.seen_ids, before.seen_ids + 1);
    assert!((18..=200).contains(&(with_text.seen_bytes - before.seen_bytes)), "{before:?}, {with_text:?}");
}

#[test]
fn a_draft_is_unpublished_under_its_lease_until_its_publication_is_confirmed() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [1]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let unpublished = |tracker: &Tracker, lease| tracker.state.unpublished(job.id, lease);
    assert_eq!(unpublished(&tracker, job.lease), None, "it is not finished");
    tracker.tell(&mut node, &job, Finding::Completed { file: true, items: 42 });
    assert_eq!(unpublished(&tracker, job.lease), Some((crawl, 42)));
    assert_eq!(unpublished(&tracker, LeaseId(job.lease.0 + 1)), None, "another lease's");
    assert_eq!(tracker.state.unpublished(JobId(99), job.lease), None);
    tracker.tell(&mut node, &job, Finding::Published);
    assert_eq!(unpublished(&tracker, job.lease), None);
}
