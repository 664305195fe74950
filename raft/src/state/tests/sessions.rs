//! Sessions and their ends.

use super::*;

#[test]
fn twm_s1_a_repeated_opening_is_the_same_session() {
    let mut tracker = Tracker::new();
    let open = OpenSession {
        node: 4,
        incarnation: 77,
        storage: StorageId(9),
        workers: 2,
        shared: true,
        adopt: true,
    };
    let first = tracker.apply(Mutation::OpenSession(open.clone()));
    assert_eq!(first, Response::SessionOpened(SessionOpened { session: SessionId(1), ttl_ms: 3_000 }));
    let before = tracker.records();
    assert_eq!(tracker.apply(Mutation::OpenSession(open)), first);
    assert_eq!(tracker.records(), before);
}

#[test]
fn twm_s1_a_new_incarnation_ends_the_old_session() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [1, 2, 3]);
    let mut old = tracker.open(1);
    let jobs = tracker.take(&mut old, 2);
    let progress = draft(&jobs[1], 1, 400);
    tracker.tell(&mut old, &jobs[1], Finding::Advanced(progress.clone()));
    let mut new = tracker.open(1);
    assert!(new.session > old.session);
    assert_eq!(tracker.state.session_ids(), [new.session].into());
    let again = tracker.take(&mut new, 3);
    assert_eq!(again.iter().map(|j| j.user.to_string()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(again[1].progress, Some(progress), "its draft is on its disk");
}

#[test]
fn an_ended_sessions_jobs_are_at_the_head_with_their_progress() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), 1..=6);
    let mut other = tracker.open_on(2, 9);
    let first = tracker.take_one(&mut other);
    tracker.finish(&mut other, &first);
    // The followers of account 1 are ready now and wait for their turn.
    let mut lost = tracker.open_on(1, 9);
    let mut wants = Wants::any(3);
    wants.each = [2, 0, 0, 0];
    let jobs = tracker.report(&mut lost, Vec::new(), wants).granted;
    assert_eq!(jobs.iter().map(|j| j.user.to_string()).collect::<Vec<_>>(), ["2", "3"]);
    let progress = draft(&jobs[1], 9, 400);
    tracker.tell(&mut lost, &jobs[1], Finding::Advanced(progress.clone()));
    tracker.lose(&lost);
    assert_eq!((tracker.view(crawl).leased, tracker.view(crawl).ready), (0, 3));
    let next = tracker.take(&mut other, 10);
    let order: Vec<_> = next.iter().map(|j| format!("{}{}", j.operation.letter(), j.user)).collect();
    assert_eq!(order, ["T2", "T3", "F1", "T4", "T5", "T6"]);
    assert_eq!((&next[0].progress, &next[1].progress), (&None, &Some(progress)));
    assert_eq!(next[1].attempt, 1, "a lost node is not the job's fault");
}

#[test]
fn drained_nodes_get_nothing_new_and_keep_what_they_have() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), 1..=4);
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let job = tracker.take_one(&mut one);
    assert_eq!(tracker.apply(Mutation::Drain { node: 1, drained: true }), Response::Done);
    assert!(tracker.state.is_drained(1) && !tracker.state.is_drained(2));
    assert!(!tracker.state.has_work(one.session, &Wants::any(1).into()));
    assert_eq!(tracker.take(&mut one, 5), []);
    tracker.finish(&mut one, &job);
    assert_eq!(tracker.take(&mut two, 1).len(), 1);
    let mut again = tracker.open(1);
    assert_eq!(tracker.take(&mut again, 5), [], "a restart does not end it");
    tracker.apply(Mutation::Drain { node: 1, drained: false });
    assert_eq!(tracker.take(&mut again, 5).len(), 2);
    assert_eq!(tracker.users(crawl).completed, 1);
}

fn opens(tracker: &mut Tracker, node: NodeId, storage: u64, shared: bool, adopt: bool) -> Response {
    let (incarnation, storage) = (tracker.index, StorageId(storage));
    tracker.apply(Mutation::OpenSession(OpenSession {
        node,
        incarnation,
        storage,
        workers: 1,
        shared,
        adopt,
    }))
}

#[test]
fn a_node_writes_to_its_own_storage_unless_an_operator_wants_another() {
    let mut tracker = Tracker::new();
    assert!(matches!(opens(&mut tracker, 1, 7, false, false), Response::SessionOpened(_)));
    let refused = opens(&mut tracker, 1, 8, false, false);
    let expected = Refusal::OtherStorage { node: 1, known: StorageId(7), found: StorageId(8) };
    assert_eq!(refused, Response::Refused(expected));
    assert_eq!(tracker.state.sessions().len(), 1, "the earlier session continues");
    assert!(matches!(opens(&mut tracker, 1, 7, false, false), Response::SessionOpened(_)));
    assert!(matches!(opens(&mut tracker, 1, 8, false, true), Response::SessionOpened(_)));
    assert!(matches!(opens(&mut tracker, 1, 7, false, false), Response::Refused(_)), "it has moved");
    tracker.restart();
    assert_eq!(tracker.state.storages()[&1], StorageId(8));
}

#[test]
fn a_storage_that_is_not_shared_has_one_session() {
    let mut tracker = Tracker::new();
    assert!(matches!(opens(&mut tracker, 1, 7, false, false), Response::SessionOpened(_)));
    let refused = opens(&mut tracker, 2, 7, false, false);
    assert_eq!(refused, Response::Refused(Refusal::StorageInUse { storage: StorageId(7), node: 1 }));
    assert!(matches!(opens(&mut tracker, 2, 7, true, false), Response::SessionOpened(_)));
}

#[test]
fn what_only_a_given_up_storage_had_is_made_again_at_once() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Completed { file: true, items: 3 });
    // The volume with the draft is lost; the operator starts with an empty one.
    assert!(matches!(opens(&mut tracker, 1, 99, false, true), Response::SessionOpened(_)));
    let session = tracker.state.sessions()[0].id;
    let mut node = Node { session, sequence: 0 };
    let again = tracker.take_one(&mut node);
    assert_eq!((again.user.clone(), again.progress.clone()), (job.user, None));
    tracker.finish(&mut node, &again);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

/// A node opens a session, is killed and opens another; then the first process's request arrives.
#[test]
fn an_attempt_to_open_a_session_that_comes_late_ends_no_later_session() {
    let mut tracker = Tracker::new();
    let open = |seen, random| {
        let incarnation = OpenSession::incarnation(seen, random);
        let storage = StorageId(1);
        Mutation::OpenSession(OpenSession {
            node: 1,
            incarnation,
            storage,
            workers: 1,
            shared: false,
            adopt: true,
        })
    };
    (2..=3).for_each(|to| drop(tracker.apply(Mutation::RaiseVersion { to })));
    tracker.submit(spec("T"), 1..=3);
    let late = open(tracker.index, 5);
    let new = open(tracker.index, 6);
    let Response::SessionOpened(opened) = tracker.apply(new.clone()) else { panic!() };
    let session = opened.session;
    let refused = Response::Refused(Refusal::SessionNewer { node: 1, session });
    assert_eq!(tracker.apply(late), refused);
    assert_eq!(tracker.apply(new), Response::SessionOpened(opened), "a repeated attempt");
    let mut node = Node { session, sequence: 0 };
    let job = tracker.take_one(&mut node);
    tracker.finish(&mut node, &job);
    // The next process knows of the session, and ends it.
    let next = open(tracker.index, 7);
    let Response::SessionOpened(opened) = tracker.apply(next) else { panic!() };
    assert!(opened.session > session && !tracker.state.session_ids().contains(&session));
}
