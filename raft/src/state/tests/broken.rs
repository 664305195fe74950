//! A violated invariant stops the replica that detects it.

use super::super::StateFailure;
use super::super::job::JobRecord;
use super::*;

fn apply_to(tracker: &mut Tracker, mutation: Mutation) -> Option<StateFailure> {
    tracker.index += 1;
    let command = Command { now: tracker.now, limits: tracker.limits, mutation };
    tracker.state.apply(tracker.index, command);
    tracker.state.failure().cloned()
}

fn invariant(failure: Option<StateFailure>) -> &'static str {
    match failure {
        Some(StateFailure::Broken { invariant, .. }) => invariant,
        other => panic!("{other:?}"),
    }
}

/// A tracker without checks, with a running job.
fn unchecked() -> (Tracker, Node, Job) {
    let mut tracker = Tracker::without_restarts();
    tracker.submit(spec("T"), [1, 2]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.state.check_after_commands(false);
    (tracker, node, job)
}

#[test]
fn a_lost_record_stops_the_replica_with_its_name_and_nothing_is_checkpointed() {
    let (mut tracker, node, job) = unchecked();
    tracker.state.jobs.remove(job.id);
    let failure = apply_to(&mut tracker, Mutation::EndSession { session: node.session, graceful: true });
    let text = failure.as_ref().unwrap().to_string();
    assert!(text.contains(&format!("job {} has no record", job.id)), "{text}");
    assert!(text.contains(&format!("log entry {}", tracker.index)) && text.contains("grant.rs"), "{text}");
    assert_eq!(invariant(failure), "TWM-C1");
    assert!(tracker.state.freeze().is_err(), "what is broken must not become a checkpoint");
    // The first failure is the one reported.
    let again = apply_to(&mut tracker, Mutation::Tick).unwrap().to_string();
    assert_eq!(again, text);
}

#[test]
fn a_count_that_would_fall_below_zero_stops_the_replica() {
    let (mut tracker, mut node, job) = unchecked();
    tracker.state.crawls.get_mut(job.crawl).unwrap().jobs_mut().forget_open();
    node.sequence += 1;
    let findings = vec![(job.id, job.lease, Finding::Gone(GoneReason::NotFound))];
    let report = Report { session: node.session, sequence: node.sequence, findings, wants: Wants::NONE };
    assert_eq!(invariant(apply_to(&mut tracker, Mutation::Report(report))), "TWM-C1");
}

#[test]
fn every_invariant_is_checked_after_a_command_when_a_node_is_told_to() {
    type Break = fn(&mut State, &Job, SessionId);
    let breaks: [(&str, Break); 9] = [
        ("TWM-C1", |state, job, _| state.crawls.get_mut(job.crawl).unwrap().users_mut().gone += 1),
        ("TWM-C2", |state, job, _| state.crawls.get_mut(job.crawl).unwrap().accounts_mut().forget_seen()),
        ("TWM-L1", |state, job, session| {
            state.sessions.get_mut(session).unwrap().release(job.id);
        }),
        ("TWM-L3", |state, job, _| {
            state.writers.reserve(storage::dataset::FileKey::timeline(&UserId::Number(77)), job.id);
        }),
        ("TWM-P1", |state, job, session| {
            state.sessions.get_mut(session).unwrap().release(job.id);
            let record = state.jobs.get_mut(job.id).unwrap();
            record.wait_for_publication(job.lease, session, StorageId(1), 0);
            record.hand_publication_to(Some(SessionId(u64::MAX)));
        }),
        ("TWM-S1", |state, _, session| {
            let twin = state.sessions.get(session).unwrap().twin();
            state.sessions.open(SessionId(u64::MAX), twin);
        }),
        ("TWM-S2", |state, job, session| {
            let other = JobId(job.id.0 + 1);
            state.sessions.get_mut(session).unwrap().pretend_granted(other);
            let mut record = state.jobs.get(job.id).unwrap().clone();
            record.delay_until(u64::MAX);
            let crawl = state.crawls.get_mut(job.crawl).unwrap();
            crawl.load_job(other, &record);
            state.jobs.insert(other, record);
            state.jobs.enqueue_delayed(u64::MAX, other);
            let users = crawl.users_mut();
            (users.accepted, users.active) = (users.accepted + 1, 2);
            crawl.accounts_mut().submit(ids([99]), true);
        }),
        ("TWM-F1", |state, job, _| state.crawls.get_mut(job.crawl).unwrap().jump_ahead()),
        ("TWM-M1", |state, _, _| state.outbox.skip_a_number()),
    ];
    for (id, broken) in breaks {
        let (mut tracker, node, job) = unchecked();
        tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
        tracker.apply(Mutation::Lead { node: 1, term: 1 });
        broken(&mut tracker.state, &job, node.session);
        tracker.state.check_after_commands(true);
        assert_eq!(invariant(apply_to(&mut tracker, Mutation::Tick)), id);
    }
}

/// A second job of the same crawl, whose record is a changed copy of the first one's.
fn add_job(state: &mut State, job: &Job, change: impl FnOnce(&mut JobRecord)) {
    let mut record = state.jobs.get(job.id).unwrap().clone();
    change(&mut record);
    let (other, crawl) = (JobId(job.id.0 + 1), state.crawls.get_mut(job.crawl).unwrap());
    crawl.load_job(other, &record);
    state.jobs.insert(other, record);
    let users = crawl.users_mut();
    (users.accepted, users.active) = (users.accepted + 1, 2);
    crawl.accounts_mut().submit(ids([99]), true);
}

#[test]
fn each_contradiction_between_two_records_is_told_in_its_own_words() {
    type Break = fn(&mut State, &Job, SessionId);
    let breaks: [(&str, Break); 15] = [
        ("counts 2 waiting accounts, its queue 1", |state, job, _| {
            let users = state.crawls.get_mut(job.crawl).unwrap().users_mut();
            (users.waiting, users.active) = (2, 0);
        }),
        ("open: 0", |state, job, _| state.crawls.get_mut(job.crawl).unwrap().jobs_mut().forget_open()),
        ("has 0 active accounts and 1 jobs", |state, job, _| {
            let users = state.crawls.get_mut(job.crawl).unwrap().users_mut();
            (users.active, users.completed) = (0, 1);
        }),
        ("is running and listed as something else", |state, job, _| state.crawls.deactivate(job.crawl)),
        ("a crawl is active and not there", |state, _, _| state.crawls.reactivate(CrawlId(99))),
        ("jobs belong to crawls that are not there", |state, _, _| {
            let lost = JobRecord::fresh(CrawlId(99), UserId::Number(5), 0, "T".parse().unwrap());
            state.jobs.insert(JobId(50), lost.unwrap());
        }),
        ("is valid for two jobs", |state, job, _| add_job(state, job, |_| {})),
        ("is delayed and in no queue", |state, job, _| add_job(state, job, |other| other.delay_until(7))),
        ("a job that is not delayed waits", |state, job, _| state.jobs.enqueue_delayed(7, job.id)),
        ("which job None holds", |state, job, _| {
            let file = state.file_of(state.jobs.get(job.id).unwrap()).unwrap();
            state.writers.release(&file);
        }),
        ("storage 1 is present and absent", |state, _, _| {
            state.head.absent.insert(StorageId(1), 0);
        }),
        ("has a job that is another's", |state, _, session| {
            state.sessions.get_mut(session).unwrap().lease(JobId(99));
        }),
        // It publishes a job and is still said to run it.
        ("which was not told", |state, job, session| {
            let record = state.jobs.get_mut(job.id).unwrap();
            record.wait_for_publication(job.lease, session, StorageId(1), 0);
        }),
        // It adopted a job that was its own.
        ("which was not told", |state, job, session| {
            let holder = state.sessions.get_mut(session).unwrap();
            holder.wait_for_publication(job.id);
            holder.adopt(job.id);
            let record = state.jobs.get_mut(job.id).unwrap();
            record.wait_for_publication(job.lease, session, StorageId(1), 0);
        }),
        ("cluster time went from", |state, _, _| {
            state.check_if_due();
            state.head.clock = 1;
        }),
    ];
    for (says, broken) in breaks {
        let (mut tracker, node, job) = unchecked();
        tracker.state.check_after_commands(true);
        tracker.state.check_invariants().unwrap();
        broken(&mut tracker.state, &job, node.session);
        let said = tracker.state.check_invariants().expect_err(says).to_string();
        assert!(said.contains(says), "{said:?} does not say {says:?}");
    }
}

#[test]
fn a_delayed_job_that_is_in_no_queue_stops_the_replica_that_takes_it_out() {
    let (mut tracker, mut node, job) = unchecked();
    tracker.tell(&mut node, &job, Finding::Limited { progress: None, after_ms: 700 });
    let until = tracker.now + 700;
    assert!(tracker.state.jobs.dequeue_delayed(until, job.id));
    let failure = apply_to(&mut tracker, Mutation::CancelCrawl { crawl: job.crawl });
    let text = failure.as_ref().unwrap().to_string();
    assert!(text.contains("is not in the queue that its record names"), "{text}");
    assert_eq!(invariant(failure), "TWM-C1");
}

#[test]
fn a_small_state_is_checked_after_each_command_and_a_large_one_after_every_64th_entry() {
    for (records, seldom) in [(512, false), (513, true)] {
        let (mut tracker, _, job) = unchecked();
        // One job, two sessions, and crawls.
        tracker.open(2);
        for _ in 0..records - 4 {
            tracker.create(spec("T"));
        }
        tracker.index = 64 * 20;
        tracker.state.crawls.get_mut(job.crawl).unwrap().users_mut().gone += 1;
        tracker.state.check_after_commands(true);
        let after = (1..=64).find(|_| apply_to(&mut tracker, Mutation::Tick).is_some());
        assert_eq!(after, Some(if seldom { 64 } else { 1 }), "{records} records");
    }
}

#[test]
fn a_replica_that_takes_a_snapshot_is_checked_as_it_was_before() {
    for checked in [true, false] {
        let (mut tracker, _, job) = unchecked();
        tracker.restart();
        tracker.state.check_after_commands(checked);
        let live = Arc::clone(tracker.state.live_events());
        tracker.state = State::load(tracker.store.clone()).unwrap().observed_like(&tracker.state);
        assert!(Arc::ptr_eq(&live, tracker.state.live_events()), "who looks goes on looking");
        tracker.state.crawls.get_mut(job.crawl).unwrap().users_mut().gone += 1;
        assert_eq!(apply_to(&mut tracker, Mutation::Tick).is_some(), checked);
    }
}

#[test]
fn twm_t1_a_clock_that_was_turned_back_is_seen() {
    let (mut tracker, ..) = unchecked();
    tracker.state.check_after_commands(true);
    tracker.wait(10);
    tracker.state.head.clock = 0;
    tracker.now = 0;
    assert_eq!(invariant(apply_to(&mut tracker, Mutation::Tick)), "TWM-T1");
}

#[test]
fn a_program_leaves_a_cluster_whose_version_it_does_not_know() {
    let mut tracker = Tracker::without_restarts();
    for to in 2..=CLUSTER_VERSION {
        assert_eq!(tracker.apply(Mutation::RaiseVersion { to }), Response::Done);
    }
    let failure = apply_to(&mut tracker, Mutation::RaiseVersion { to: CLUSTER_VERSION + 1 });
    assert!(matches!(failure, Some(StateFailure::TooNew { .. })), "{failure:?}");
}

#[test]
fn versions_rise_one_by_one_and_what_came_later_is_refused_before() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), []);
    let delete = Mutation::DeleteCrawl { crawl };
    let Response::Refused(refusal) = tracker.apply(delete.clone()) else { panic!() };
    assert!(refusal.to_string().contains("needs cluster version 2 and the cluster is at 1"), "{refusal}");
    let skipped = Refusal::VersionSkipped { from: 1, to: 3 };
    assert_eq!(tracker.apply(Mutation::RaiseVersion { to: 3 }), Response::Refused(skipped));
    assert_eq!(tracker.apply(Mutation::RaiseVersion { to: 2 }), Response::Done);
    assert_eq!(tracker.apply(Mutation::RaiseVersion { to: 1 }), Response::Done, "an old leader's");
    assert_eq!(tracker.state.version(), 2);
    assert_eq!(tracker.apply(delete), Response::Done);
}
