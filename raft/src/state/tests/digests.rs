//! What tells a replica apart that differs from the others.

use super::*;

/// More accounts than those at the head of a queue whose order counts.
const LONG: u64 = 1_500;

/// The digest of a state with one crawl that got these accounts and began nothing.
fn digest(users: impl IntoIterator<Item = UserId>, seeds: bool) -> StateDigest {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.create(spec("FA"));
    let users = users.into_iter().collect();
    let add = Mutation::AddTargets { crawl, chunk: 0, users, seeds };
    assert!(matches!(tracker.apply(add), Response::Added(_)));
    tracker.state.digest()
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<UserId> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn replicas_that_wait_for_or_have_seen_other_accounts_differ_in_nothing_but_accounts() {
    let long = |last: u64| ids((1..LONG).chain([last]));
    let swapped = || ids([2, 1].into_iter().chain(3..=LONG));
    for (one, other, seeds) in [
        (ids([1, 2]), ids([1, 3]), false),
        (ids([1, 2]), ids([1, 3]), true),
        (texts(["a@b"]), texts(["c@b"]), false),
        (texts(["a@b"]), texts(["c@b"]), true),
        (long(LONG), long(LONG + 1), false),
        (ids(1..=LONG), swapped(), false),
    ] {
        let (one, other) = (digest(one, seeds), digest(other, seeds));
        assert_eq!(one.differences(&other), ["accounts"], "seeds: {seeds}");
    }
    assert_eq!(digest(ids([1, 2]), true), digest(ids([2, 1]), true), "seeds have no order");
}

/// Two replicas that differ by one command or by damage, and in what.
fn differ(change: impl FnOnce(&mut Tracker, &mut Node, CrawlId)) -> Vec<&'static str> {
    let busy = || {
        let mut tracker = Tracker::without_restarts();
        let crawl = tracker.submit(spec("TF"), 1..=9);
        let mut node = tracker.open(1);
        tracker.take(&mut node, 2);
        tracker.state.check_after_commands(false);
        (tracker, node, crawl)
    };
    let ((one, ..), (mut other, mut node, crawl)) = (busy(), busy());
    assert_eq!(one.state.digest(), other.state.digest());
    change(&mut other, &mut node, crawl);
    one.state.digest().differences(&other.state.digest())
}

#[test]
fn a_replica_with_another_record_differs_in_the_part_of_that_record() {
    let paused = differ(|tracker, _, crawl| drop(tracker.apply(Mutation::PauseCrawl { crawl })));
    assert_eq!(paused, ["crawls"]);
    let miscounted = differ(|tracker, _, crawl| {
        tracker.state.crawls.get_mut(crawl).unwrap().jobs_mut().forget_open();
    });
    assert_eq!(miscounted, ["crawls"]);
    let over = differ(|tracker, _, crawl| tracker.state.crawls.deactivate(crawl));
    assert!(over.contains(&"crawls"), "{over:?}");
    let job = differ(|tracker, _, _| {
        tracker.state.jobs.get_mut(JobId(1)).unwrap().count_failed_attempt();
    });
    assert_eq!(job, ["jobs"]);
    let delayed = differ(|tracker, _, _| tracker.state.jobs.enqueue_delayed(5, JobId(1)));
    assert_eq!(delayed, ["jobs"]);
    let writer = differ(|tracker, _, _| {
        tracker.state.writers.reserve(storage::dataset::FileKey::timeline(&UserId::Number(1)), JobId(2));
    });
    assert_eq!(writer, ["jobs"]);
    let session =
        differ(|tracker, node, _| tracker.state.sessions.get_mut(node.session).unwrap().adopt(JobId(1)));
    assert_eq!(session, ["sessions"]);
    let drained = differ(|tracker, _, _| drop(tracker.apply(Mutation::Drain { node: 1, drained: true })));
    assert_eq!(drained, ["cluster"]);
    let events = differ(|tracker, _, _| drop(tracker.apply(Mutation::Lead { node: 1, term: 4 })));
    assert_eq!(events, ["events"]);
}

#[test]
fn replicas_whose_queues_differ_far_from_their_heads_differ_though_they_have_seen_the_same() {
    let with_seed = |seed: u64| {
        let mut tracker = Tracker::without_restarts();
        let crawl = tracker.create(spec("T"));
        for (chunk, users, seeds) in [(0, ids([seed]), true), (0, ids(1..=LONG), false)] {
            tracker.apply(Mutation::AddTargets { crawl, chunk, users, seeds });
        }
        tracker.state.digest()
    };
    assert_eq!(with_seed(1_400).differences(&with_seed(1_401)), ["accounts"]);
}

#[test]
fn replicas_that_know_other_members_or_began_to_keep_profiles_elsewhere_differ() {
    let members = differ(|tracker, _, _| {
        let member = MemberId { node: 4, disk: DiskId(9) };
        tracker.apply(Mutation::Roster(crate::command::RosterChange::Leave { member }));
    });
    assert_eq!(members, ["members"]);
    let profiles = differ(|tracker, _, _| tracker.state.profiles.begin_after(CrawlId(7)));
    assert_eq!(profiles, ["cluster"]);
    let differences = |one: u64, other: u64| {
        let of = |crawl| {
            let mut tracker = Tracker::without_restarts();
            tracker.state.profiles.begin_after(CrawlId(crawl));
            tracker.state.digest()
        };
        of(one).differences(&of(other))
    };
    assert_eq!(differences(7, 8), ["cluster"]);
}
