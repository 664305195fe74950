//! What is kept of ended crawls, and what is not.

use storage::state::StateStore;

use super::super::keys;
use super::*;

/// Size of an empty seen-set, bytes.
const EMPTY: usize = 64;

impl Tracker {
    /// A checkpoint without a restart.
    fn checkpoint(&mut self) {
        let frozen = self.state.freeze().unwrap();
        write_checkpoint(&*self.store, frozen, Vec::new()).unwrap();
        drop(self.state.checkpoint_written());
    }

    /// Memory of queues and seen-sets, and bytes on disk.
    fn weight(&self) -> (usize, u64) {
        let sizes = self.state.sizes();
        (sizes.queue_bytes + sizes.seen_bytes, self.store.size_on_disk().unwrap())
    }

    fn raise(&mut self) {
        for to in 2..=CLUSTER_VERSION {
            assert_eq!(self.apply(Mutation::RaiseVersion { to }), Response::Done);
        }
    }
}

/// The start of a scenario, with restarts after each command and without.
fn trackers() -> [Tracker; 2] {
    [Tracker::new(), Tracker::without_restarts()].map(|mut tracker| {
        tracker.raise();
        tracker
    })
}

fn discover(tracker: &mut Tracker, node: &mut Node, admitted: std::ops::Range<u64>) {
    let job = tracker.take_one(node);
    assert_eq!(job.operation, Operation::Analysis);
    let found = Finding::Discovered { admitted: ids(admitted), discarded: Vec::new(), progress: cursor("1") };
    tracker.tell(node, &job, found);
    tracker.finish(node, &job);
}

#[test]
fn an_ended_crawl_keeps_its_frontier_errors_and_counters_and_leaves_memory() {
    for mut tracker in trackers() {
        let crawl = tracker.submit(spec("FA"), [1, 2]);
        let mut node = tracker.open(1);
        let job = tracker.take_one(&mut node);
        tracker.finish(&mut node, &job);
        discover(&mut tracker, &mut node, 100..400);
        let job = tracker.take_one(&mut node);
        tracker.tell(&mut node, &job, failed("fault", false));
        assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
        let before = tracker.view(crawl);
        tracker.checkpoint();
        assert!(tracker.weight().0 <= EMPTY, "it is in memory still");
        let view = tracker.view(crawl);
        assert_eq!((view.counters, view.phase), (before.counters, before.phase));
        assert_eq!(tracker.state.frontier(crawl, 0).unwrap().users, ids(100..400));
        let page = tracker.state.frontier(crawl, 250).unwrap();
        assert_eq!((page.users, page.next), (ids(350..400), None));
        assert_eq!(tracker.errors(crawl).len(), 1);
    }
}

#[test]
fn twm_c2_a_crawl_that_is_reopened_knows_whom_it_has_seen() {
    for traversal in [Traversal::Default, Traversal::Bfs, Traversal::Dfs] {
        for mut tracker in trackers() {
            let crawl = tracker.submit(CrawlSpec { traversal, depth: Some(0), ..spec("FA") }, [1, 2]);
            let mut node = tracker.open(1);
            let job = tracker.take_one(&mut node);
            tracker.finish(&mut node, &job);
            discover(&mut tracker, &mut node, 100..400);
            let job = tracker.take_one(&mut node);
            tracker.tell(&mut node, &job, failed("fault", false));
            tracker.checkpoint();
            tracker.checkpoint();
            let request = RequestId { client: 5, sequence: 1 };
            let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 10 };
            assert_eq!(tracker.apply(retry), Response::Retried(1));
            tracker.checkpoint();
            let job = tracker.take_one(&mut node);
            tracker.finish(&mut node, &job);
            discover(&mut tracker, &mut node, 300..500);
            let counters = tracker.view(crawl).counters;
            assert_eq!((counters.discovered, counters.admitted, counters.frontier), (400, 400, 400));
            tracker.checkpoint();
            assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
            assert!(tracker.weight().0 <= EMPTY);
            assert_eq!(tracker.state.frontier(crawl, 0).unwrap().users, ids(100..500));
            let (seen, _) = tracker.state.seen_and_frontier(crawl);
            assert_eq!(seen, ids([1, 2].into_iter().chain(100..500)));
        }
    }
}

#[test]
fn replicas_agree_about_a_reopened_crawl_wherever_its_accounts_are() {
    let digests = [false, true].map(|is_checkpointed| {
        let mut tracker = Tracker::without_restarts();
        tracker.raise();
        let crawl = tracker.submit(spec("FA"), 1..=9);
        let mut node = tracker.open(1);
        for _ in 0..9 {
            let job = tracker.take_one(&mut node);
            tracker.tell(&mut node, &job, failed("fault", false));
        }
        if is_checkpointed {
            tracker.checkpoint();
        }
        let request = RequestId { client: 5, sequence: 1 };
        let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 10 };
        assert_eq!(tracker.apply(retry), Response::Retried(9));
        tracker.state.digest()
    });
    assert_eq!(digests[0].differences(&digests[1]), Vec::<&str>::new());
}

#[test]
fn a_checkpoint_under_way_keeps_what_came_since_in_memory() {
    let mut tracker = Tracker::without_restarts();
    tracker.raise();
    let crawl = tracker.create(spec("T"));
    tracker.add(crawl, 0, 1..100);
    let frozen = tracker.state.freeze().unwrap();
    tracker.add(crawl, 1, 100..200);
    tracker.apply(Mutation::CancelCrawl { crawl });
    write_checkpoint(&*tracker.store, frozen, Vec::new()).unwrap();
    drop(tracker.state.checkpoint_written());
    assert!(tracker.weight().0 > EMPTY, "what no checkpoint has is not put away");
    tracker.checkpoint();
    assert!(tracker.weight().0 <= EMPTY);
    assert_eq!(tracker.state.seen_and_frontier(crawl).0, ids(1..200));
}

#[test]
fn seeds_that_come_during_a_checkpoint_stay_in_memory_until_the_next_one() {
    let mut tracker = Tracker::without_restarts();
    tracker.raise();
    let crawl = tracker.create(spec("T"));
    tracker.checkpoint();
    let frozen = tracker.state.freeze().unwrap();
    let seeds = Mutation::AddTargets { crawl, chunk: 0, users: ids(1..100), seeds: true };
    tracker.apply(seeds);
    tracker.apply(Mutation::CancelCrawl { crawl });
    write_checkpoint(&*tracker.store, frozen, Vec::new()).unwrap();
    drop(tracker.state.checkpoint_written());
    assert_eq!(tracker.state.seen_and_frontier(crawl).0, ids(1..100));
    tracker.checkpoint();
    assert!(tracker.weight().0 <= EMPTY);
    assert_eq!(tracker.state.seen_and_frontier(crawl).0, ids(1..100));
}

#[test]
fn the_queue_of_a_crawl_that_is_cancelled_during_a_checkpoint_leaves_the_disk_with_the_next_one() {
    let mut tracker = Tracker::without_restarts();
    tracker.raise();
    let crawl = tracker.submit(spec("T"), 1..100);
    tracker.checkpoint();
    let frozen = tracker.state.freeze().unwrap();
    tracker.apply(Mutation::CancelCrawl { crawl });
    write_checkpoint(&*tracker.store, frozen, Vec::new()).unwrap();
    drop(tracker.state.checkpoint_written());
    tracker.checkpoint();
    let (start, end) = keys::of_crawl(keys::QUEUE, crawl);
    assert_eq!(tracker.store.scan(&start, Some(&end)).count(), 0);
    tracker.restart();
    assert_eq!(tracker.view(crawl).queued, 0);
    assert!(tracker.weight().0 <= EMPTY);
}

#[test]
fn only_an_ended_crawl_is_deleted_and_deleting_it_again_does_no_harm() {
    for mut tracker in trackers() {
        let crawl = tracker.submit(spec("T"), [1]);
        let delete = Mutation::DeleteCrawl { crawl };
        let Response::Refused(refusal) = tracker.apply(delete.clone()) else { panic!() };
        assert!(refusal.to_string().contains("crawl cancel 1"), "{refusal}");
        tracker.apply(Mutation::CancelCrawl { crawl });
        assert_eq!(tracker.apply(delete.clone()), Response::Done);
        assert_eq!(tracker.state.crawl(crawl), None);
        assert_eq!(tracker.apply(delete), Response::Done, "the answer may have been lost");
        let unknown = CrawlId(2);
        let refused = Response::Refused(Refusal::NoSuchCrawl(unknown));
        assert_eq!(tracker.apply(Mutation::DeleteCrawl { crawl: unknown }), refused);
        assert_eq!(tracker.submit(spec("T"), [1]), CrawlId(2), "ids are not used again");
    }
}

#[test]
fn a_deleted_crawl_leaves_no_record() {
    for mut tracker in trackers() {
        tracker.restart();
        let crawl = tracker.submit(spec("FA"), 1..=40);
        let other = tracker.submit(spec("T"), [1]);
        let mut node = tracker.open(1);
        let texts = vec!["a@host".parse().unwrap()];
        let job = tracker.take_one(&mut node);
        let progress = cursor("1");
        tracker.finish(&mut node, &job);
        let job = tracker.take_one(&mut node);
        let found = Finding::Discovered { admitted: texts, discarded: ids(7_000..9_000), progress };
        tracker.tell(&mut node, &job, found);
        for job in tracker.take(&mut node, 30) {
            let gone = matches!(job.user, UserId::Number(n) if n % 2 == 0);
            let finding = if gone { Finding::Gone(GoneReason::NotFound) } else { failed("x", false) };
            tracker.tell(&mut node, &job, finding);
        }
        tracker.close(&node);
        tracker.apply(Mutation::CancelCrawl { crawl });
        tracker.apply(Mutation::DeleteCrawl { crawl });
        tracker.checkpoint();
        tracker.checkpoint();
        assert!(!tracker.state.has_records_to_remove());
        assert_eq!(tracker.errors(crawl), []);
        tracker.apply(Mutation::CancelCrawl { crawl: other });
        tracker.apply(Mutation::DeleteCrawl { crawl: other });
        tracker.checkpoint();
        tracker.checkpoint();
        let tags: Vec<u8> = tracker.records().into_iter().map(|(key, _)| key[0]).collect();
        assert_eq!(
            String::from_utf8_lossy(&tags),
            "hkr",
            "the state's scalars, the first crawl that keeps profiles and the remembered answers"
        );
    }
}

#[test]
fn many_records_leave_over_several_checkpoints_and_a_restart_goes_on() {
    let mut tracker = Tracker::without_restarts();
    tracker.raise();
    let crawl = tracker.create(spec("T"));
    for chunk in 0..5 {
        let users = (0..10_000).map(|n| format!("{n}.{chunk}@host").parse().unwrap()).collect();
        tracker.apply(Mutation::AddTargets { crawl, chunk, users, seeds: true });
    }
    tracker.checkpoint();
    tracker.apply(Mutation::CancelCrawl { crawl });
    tracker.apply(Mutation::DeleteCrawl { crawl });
    let left = |tracker: &Tracker| {
        let (start, end) = keys::of_crawl(keys::SEEN_TEXT, crawl);
        tracker.store.scan(&start, Some(&end)).count()
    };
    for expected in [30_000, 10_000] {
        tracker.checkpoint();
        assert_eq!(left(&tracker), expected);
        assert!(tracker.state.has_records_to_remove());
        tracker.restart();
        // The restart has written a checkpoint of its own.
        if expected == 30_000 {
            assert_eq!(left(&tracker), 10_000);
            break;
        }
    }
    assert!(tracker.state.has_records_to_remove());
    assert_eq!(tracker.state.next_due(0), Some(tracker.state.clock() + 1000), "checkpoints need commands");
    tracker.checkpoint();
    assert_eq!(left(&tracker), 0);
    assert!(!tracker.state.has_records_to_remove());
    assert_eq!(tracker.state.next_due(0), None);
    tracker.restart();
    assert!(!tracker.state.has_records_to_remove());
}

#[test]
fn crawls_are_due_for_deletion_in_the_order_of_their_ends_and_only_once_ended() {
    let mut tracker = Tracker::new();
    let running = tracker.submit(spec("T"), [1]);
    let first = tracker.submit(spec("T"), [1]);
    let second = tracker.submit(spec("T"), [1]);
    tracker.wait(100);
    tracker.apply(Mutation::CancelCrawl { crawl: second });
    let at = tracker.state.clock();
    tracker.wait(100);
    tracker.apply(Mutation::CancelCrawl { crawl: first });
    let due = |tracker: &Tracker, now| tracker.state.kept_long_enough(500, now);
    assert_eq!((due(&tracker, at + 499), due(&tracker, at + 500)), (None, Some(second)));
    tracker.raise();
    tracker.apply(Mutation::DeleteCrawl { crawl: second });
    assert_eq!((due(&tracker, at + 599), due(&tracker, at + 600)), (None, Some(first)));
    tracker.apply(Mutation::DeleteCrawl { crawl: first });
    assert_eq!(due(&tracker, u64::MAX), None);
    assert!(tracker.state.crawl(running).is_some());
}

/// Creates and cancels eight crawls of `ids` accounts each; returns memory and disk before, with them, ended,
/// and deleted.
fn eight_cancelled(ids: u64) -> [(usize, u64); 4] {
    let mut tracker = Tracker::without_restarts();
    tracker.raise();
    tracker.submit(spec("T"), (1..ids).map(|n| n * 7_919));
    tracker.checkpoint();
    let before = tracker.weight();
    let crawls: Vec<CrawlId> = (0..8).map(|_| tracker.create(spec("T"))).collect();
    for &crawl in &crawls {
        for (chunk, from) in (0..).zip((0..ids).step_by(10_000)) {
            tracker.add(crawl, chunk, (from..ids.min(from + 10_000)).map(|n| 1 + n * 1_000_003));
        }
        tracker.checkpoint();
    }
    let full = tracker.weight();
    for &crawl in &crawls {
        assert_eq!(tracker.apply(Mutation::CancelCrawl { crawl }), Response::Done);
    }
    tracker.checkpoint();
    let ended = tracker.weight();
    for &crawl in &crawls {
        assert_eq!(tracker.apply(Mutation::DeleteCrawl { crawl }), Response::Done);
    }
    while tracker.state.has_records_to_remove() {
        tracker.checkpoint();
    }
    [before, full, ended, tracker.weight()]
}

#[test]
fn cancelled_crawls_leave_memory_and_deleted_ones_the_disk() {
    let [before, full, ended, deleted] = eight_cancelled(30_000);
    assert!(full.0 > before.0 * 4 && full.1 > before.1 * 4, "{before:?} {full:?}");
    assert!(ended.0 * 100 <= before.0 * 105, "memory: {ended:?} of {before:?}");
    assert!(ended.1 < full.1, "the queues have left the disk");
    assert!(deleted.0 * 100 <= before.0 * 105 && deleted.1 * 100 <= before.1 * 105, "{deleted:?} {before:?}");
}

#[test]
fn the_disk_of_deleted_crawls_goes_back_to_the_system_and_what_stays_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(storage::state::SledStore::open(folder.path()).unwrap());
    let mut state = State::load(store.clone()).unwrap();
    state.check_after_commands(false);
    let mut index = 0;
    let mut apply = |state: &mut State, mutation| {
        index += 1;
        state.apply(index, Command { now: index, limits: Limits::default(), mutation })
    };
    let checkpoint = |state: &mut State| {
        let frozen = state.freeze().unwrap();
        write_checkpoint(&*store, frozen, Vec::new()).unwrap();
        drop(state.checkpoint_written());
    };
    (2..=CLUSTER_VERSION).for_each(|to| {
        apply(&mut state, Mutation::RaiseVersion { to });
    });
    let mut make = |state: &mut State, sequence: u64, chunks: u64| {
        let request = RequestId { client: 1, sequence };
        let create = Mutation::CreateCrawl { request, spec: spec("T") };
        let Response::CrawlCreated(crawl) = apply(state, create) else { panic!() };
        for chunk in 0..chunks {
            let users = (0..10_000).map(|n| UserId::Number(1 + (chunk * 10_000 + n) * 1_000_000_007));
            apply(state, Mutation::AddTargets { crawl, chunk, users: users.collect(), seeds: false });
            if chunk % 20 == 19 {
                checkpoint(state);
            }
        }
        crawl
    };
    let stays = make(&mut state, 0, 20);
    let before = store.size_on_disk().unwrap();
    let crawls: Vec<CrawlId> = (1..5).map(|n| make(&mut state, n, 100)).collect();
    assert!(store.size_on_disk().unwrap() > 4 * before);
    for crawl in crawls {
        apply(&mut state, Mutation::CancelCrawl { crawl });
        checkpoint(&mut state);
        assert_eq!(apply(&mut state, Mutation::DeleteCrawl { crawl }), Response::Done);
    }
    while state.has_records_to_remove() {
        checkpoint(&mut state);
    }
    let after = store.size_on_disk().unwrap();
    assert!(after * 100 <= before * 105, "{after} bytes on disk of {before} before");
    let loaded = State::load(store.clone()).unwrap();
    loaded.check_invariants().unwrap();
    assert_eq!(loaded.crawls(), state.crawls());
    assert_eq!(loaded.seen_and_frontier(stays), state.seen_and_frontier(stays));
}
