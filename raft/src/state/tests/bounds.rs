//! The largest record of each kind fits in a value of the state store.

use storage::state::MAX_VALUE_BYTES;

use super::super::job::JobRecord;
use super::super::requests::REQUESTS_KEPT;
use super::super::session::Session;
use super::super::{MAX_ABSENT, MAX_DRAINED, MAX_STORAGES};
use super::*;
use crate::command::RosterChange;

#[test]
fn no_more_nodes_are_drained_than_fit_in_a_record_and_the_refusal_says_what_to_do() {
    let mut tracker = Tracker::without_restarts();
    for node in 0..MAX_DRAINED as u64 {
        let drain = Mutation::Drain { node: u64::MAX - node, drained: true };
        assert_eq!(tracker.apply(drain.clone()), Response::Done);
    }
    for node in 1..7_000 {
        let Response::Refused(refusal) = tracker.apply(Mutation::Drain { node, drained: true }) else {
            panic!()
        };
        assert!(refusal.to_string().contains("undrain"), "{refusal}");
    }
    tracker.restart();
    assert_eq!(tracker.apply(Mutation::Drain { node: u64::MAX, drained: true }), Response::Done);
    assert_eq!(tracker.apply(Mutation::Drain { node: u64::MAX, drained: false }), Response::Done);
    assert_eq!(tracker.apply(Mutation::Drain { node: 1, drained: true }), Response::Done);
}

#[test]
fn no_more_absent_storages_are_waited_for_than_fit_in_a_record() {
    let mut tracker = Tracker::without_restarts();
    for n in 0..MAX_ABSENT as u64 + 100 {
        tracker.now += 1;
        let node = tracker.open_on(n + 1, u64::MAX - n);
        tracker.lose(&node);
        // Removed again, so that another node may be added.
        let member = MemberId::from(n + 1);
        for change in [RosterChange::Leave { member }, RosterChange::Settled { node: n + 1 }] {
            assert_eq!(tracker.apply(Mutation::Roster(change)), Response::Done);
        }
    }
    let absent = &tracker.state.head.absent;
    assert_eq!(absent.len(), MAX_ABSENT);
    assert!(!absent.contains_key(&StorageId(u64::MAX)), "the one that is absent for the longest is given up");
    tracker.restart();
}

#[test]
fn the_largest_record_of_each_kind_fits_in_a_value_of_the_store() {
    let most = u64::MAX;
    let mut sizes = Vec::new();
    let mut add = |kind: &str, bytes: Vec<u8>| sizes.push((kind.to_owned(), bytes.len()));

    let head = super::super::Head {
        version: u32::MAX,
        clock: most,
        last_crawl: most,
        last_job: most,
        last_order: most,
        pass: most,
        drained: (0..MAX_DRAINED as u64).map(|n| most - n).collect(),
        absent: (0..MAX_ABSENT as u64).map(|n| (StorageId(most - n), most)).collect(),
        storages: (0..MAX_STORAGES as u64).map(|n| (most - n, StorageId(most))).collect(),
    };
    add("head", postcard::to_stdvec(&head).unwrap());

    let refusal = Refusal::WrongPhase {
        crawl: CrawlId(most),
        phase: CrawlPhase::Cancelled.name().to_owned(),
        verb: "be cancelled".to_owned(),
    };
    let request = (RequestId { client: most, sequence: most }, Response::Refused(refusal));
    add("requests", postcard::to_stdvec(&vec![request; REQUESTS_KEPT]).unwrap());

    add("session", Session::largest().stored());
    add("job", postcard::to_stdvec(&JobRecord::largest()).unwrap());

    for (kind, bytes) in &sizes {
        assert!(*bytes <= MAX_VALUE_BYTES, "the largest {kind} has {bytes} bytes");
    }
    // The bounds in the table of keys.rs.
    let said = [("head", 45_000), ("requests", 58_000), ("session", 19_000), ("job", 12_000)];
    for ((kind, bytes), (of, said)) in sizes.iter().zip(said) {
        assert!(kind == of && *bytes <= said && *bytes * 2 > said, "{kind}: {bytes} of {said}");
    }
}

#[test]
fn whatever_is_reported_of_one_account_its_records_fit() {
    let mut tracker = Tracker::without_restarts();
    tracker.apply(Mutation::KeepEvents { bytes: 1 << 20 });
    let mut large = spec("TFA");
    (large.name, large.follow) = ("n".repeat(256), Some("f".repeat(4_096)));
    let crawl = tracker.create(large);
    let user: UserId = "x".repeat(storage::ids::MAX_TEXT_ID).parse().unwrap();
    let users = vec![user];
    tracker.apply(Mutation::AddTargets { crawl, chunk: 0, users, seeds: false });
    tracker.seal(crawl);
    let mut node = tracker.open(1);
    // Each round fails at everything, with the longest reasons and cursors, and is retried.
    for round in 0..30 {
        while let Some(job) = tracker.take(&mut node, 1).pop() {
            let progress = Some(cursor(&"c".repeat(4_096)));
            let reason = "r".repeat(16_384);
            let finding = match (job.operation, round % 3) {
                (Operation::Followers, 1) => Finding::Gone(GoneReason::Suspended),
                _ => Finding::Failed { progress, reason, after_ms: 0, retry: false },
            };
            tracker.tell(&mut node, &job, finding);
            tracker.restart();
        }
        let request = RequestId { client: 9, sequence: round };
        let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 10 };
        assert_eq!(tracker.apply(retry), Response::Retried(1));
    }
    let largest = tracker.records().iter().map(|(_, value)| value.len()).max().unwrap();
    assert!(largest <= MAX_VALUE_BYTES, "{largest}");
}

#[test]
fn refusals_with_long_texts_are_not_remembered_because_a_thousand_would_not_fit_in_a_record() {
    let mut tracker = Tracker::without_restarts();
    (2..=3).for_each(|to| drop(tracker.apply(Mutation::RaiseVersion { to })));
    let crawl = tracker.submit(spec("T"), [1]);
    let user: UserId = "x".repeat(storage::ids::MAX_TEXT_ID).parse().unwrap();
    for sequence in 0..REQUESTS_KEPT as u64 {
        let request = RequestId { client: 3, sequence };
        let write = Write::RetryErrors { request, crawl, user: Some(user.clone()), limit: 1 };
        let answer = tracker.apply(Mutation::Once { request, write });
        assert!(matches!(answer, Response::Refused(Refusal::NotFailed { .. })), "{answer:?}");
    }
    tracker.restart();
}

#[test]
fn no_more_nodes_have_a_storage_than_fit_in_a_record_and_those_that_have_one_can_come_again() {
    let mut tracker = Tracker::without_restarts();
    tracker.state.check_after_commands(false);
    let open = |node: u64, incarnation| OpenSession {
        node,
        incarnation,
        storage: StorageId(node),
        workers: 1,
        shared: false,
        adopt: false,
    };
    for node in 1..=MAX_STORAGES as u64 {
        let answer = tracker.apply(Mutation::OpenSession(open(node, node)));
        assert!(matches!(answer, Response::SessionOpened(_)), "{answer:?}");
    }
    let refused = tracker.apply(Mutation::OpenSession(open(5_000, 5_000)));
    let refusal = Refusal::TooManyStorages { most: MAX_STORAGES as u32 };
    assert_eq!(refused, Response::Refused(refusal));
    let again = tracker.apply(Mutation::OpenSession(open(7, 6_000)));
    assert!(matches!(again, Response::SessionOpened(_)), "{again:?}");
}
