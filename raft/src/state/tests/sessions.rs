//! Sessions and their ends.

use super::*;

#[test]
fn twm_s1_a_repeated_opening_is_the_same_session() {
    let mut tracker = Tracker::new();
    let open = OpenSession { node: 4, incarnation: 77, storage: StorageId(9), workers: 2 };
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
    assert_eq!(tracker.state.session_ids().len(), 1);
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
    // The followers of account 1 are ready now, and wait for their turn.
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
    assert!(!tracker.state.has_work(one.session, &Wants::any(1)));
    assert_eq!(tracker.take(&mut one, 5), []);
    tracker.finish(&mut one, &job);
    assert_eq!(tracker.take(&mut two, 1).len(), 1);
    let mut again = tracker.open(1);
    assert_eq!(tracker.take(&mut again, 5), [], "a restart does not end it");
    tracker.apply(Mutation::Drain { node: 1, drained: false });
    assert_eq!(tracker.take(&mut again, 5).len(), 2);
    assert_eq!(tracker.users(crawl).completed, 1);
}
