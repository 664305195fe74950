//! Creating crawls and adding targets.

use super::*;

#[test]
fn a_repeated_creation_makes_one_crawl() {
    let mut tracker = Tracker::new();
    let create =
        |sequence| Mutation::CreateCrawl { request: RequestId { client: 3, sequence }, spec: spec("T") };
    let first = tracker.apply(create(1));
    assert_eq!(first, Response::CrawlCreated(CrawlId(1)));
    assert_eq!(tracker.apply(create(1)), first);
    assert_eq!(tracker.apply(create(2)), Response::CrawlCreated(CrawlId(2)));
    assert_eq!(tracker.apply(create(1)), first);
    assert_eq!(tracker.state.crawls().len(), 2);
}

#[test]
fn a_thousand_refused_writes_still_fit_in_a_checkpoint() {
    let mut tracker = Tracker::without_restarts();
    let crawl = tracker.submit(spec("T"), [1]);
    let user: UserId = "x".repeat(255).parse().unwrap();
    for sequence in 0..3_000 {
        let request = RequestId { client: u64::MAX, sequence: u64::MAX - sequence };
        let retry = Mutation::RetryErrors { request, crawl, user: Some(user.clone()), limit: 1 };
        assert!(matches!(tracker.apply(retry), Response::Refused(Refusal::NotFailed { .. })));
        let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 1 };
        assert_eq!(tracker.apply(retry), Response::Retried(0));
    }
    tracker.restart();
}

#[test]
fn a_target_counts_once_in_and_across_chunks() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    assert_eq!(tracker.add(crawl, 0, [5, 3, 5, 4]), SubmitSummary { accepted: 3, duplicates: 1 });
    assert_eq!(tracker.add(crawl, 1, [4, 6, 3]), SubmitSummary { accepted: 1, duplicates: 2 });
    let expected = UserCounters { accepted: 4, duplicates: 3, waiting: 4, ..Default::default() };
    assert_eq!(tracker.users(crawl), expected);
    let mut node = tracker.open(1);
    let order: Vec<_> = tracker.take(&mut node, 9).iter().map(|j| j.user.to_string()).collect();
    assert_eq!(order, ["5", "3", "4", "6"], "in the order of the list");
}

#[test]
fn a_repeated_chunk_changes_nothing_and_gets_the_same_answer() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    tracker.add(crawl, 0, [1]);
    let last = tracker.add(crawl, 1, [1, 2, 3]);
    let before = tracker.records();
    assert_eq!(tracker.add(crawl, 1, [1, 2, 3]), last);
    assert_eq!(tracker.add(crawl, 0, [1]), SubmitSummary::default());
    assert_eq!(tracker.records(), before);
    tracker.seal(crawl);
    assert_eq!(tracker.add(crawl, 1, [1, 2, 3]), last, "it may also come late");
    assert_eq!(tracker.users(crawl).duplicates, 1);
}

#[test]
fn a_missing_chunk_and_a_sealed_crawl_are_refused() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    let add = |chunk| Mutation::AddTargets { crawl, chunk, users: ids([1]), seeds: false };
    let missing = Refusal::MissingChunk { crawl, got: 1, expected: 0 };
    assert_eq!(tracker.apply(add(1)), Response::Refused(missing));
    tracker.apply(add(0));
    tracker.seal(crawl);
    assert!(matches!(tracker.apply(add(1)), Response::Refused(Refusal::WrongPhase { .. })));
    let nowhere = Mutation::AddTargets { crawl: CrawlId(9), chunk: 0, users: ids([1]), seeds: false };
    assert_eq!(tracker.apply(nowhere), Response::Refused(Refusal::NoSuchCrawl(CrawlId(9))));
}

#[test]
fn seeds_count_as_seen_and_are_not_crawled() {
    let mut tracker = Tracker::new();
    let mut bfs = spec("FA");
    bfs.traversal = Traversal::Bfs;
    let crawl = tracker.create(bfs);
    let seeds = Mutation::AddTargets { crawl, chunk: 0, users: ids([50, 51, 50]), seeds: true };
    let counted = SubmitSummary { accepted: 2, duplicates: 1 };
    assert_eq!(tracker.apply(seeds.clone()), Response::Added(counted));
    assert_eq!(tracker.apply(seeds), Response::Added(counted));
    tracker.add(crawl, 0, [1]);
    tracker.seal(crawl);
    assert_eq!(tracker.users(crawl).accepted, 1);
    assert_eq!(tracker.state.unseen(crawl, ids([50, 60, 1])), ids([60]));
    let mut node = tracker.open(1);
    let followers = tracker.take_one(&mut node);
    tracker.finish(&mut node, &followers);
    let analysis = tracker.take_one(&mut node);
    let found = Finding::Discovered { admitted: ids([50, 60]), discarded: ids([51]), progress: cursor("3") };
    tracker.tell(&mut node, &analysis, found);
    assert_eq!((tracker.users(crawl).accepted, tracker.view(crawl).counters.discovered), (2, 1));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut tracker = Tracker::new();
    let good = spec("T");
    let bad = [
        CrawlSpec { operations: Operations::NONE, ..good.clone() },
        CrawlSpec { operations: "TU".parse().unwrap(), ..good.clone() },
        CrawlSpec { priority: 0, ..good.clone() },
        CrawlSpec { priority: 101, ..good.clone() },
        CrawlSpec { name: "x".repeat(257), ..good.clone() },
        CrawlSpec { follow: Some("x".repeat(4_097)), ..good.clone() },
    ];
    tracker.wait(0);
    let before = tracker.records();
    for (sequence, spec) in (0..).zip(bad) {
        let request = RequestId { client: 1, sequence };
        let response = tracker.apply(Mutation::CreateCrawl { request, spec });
        assert!(matches!(response, Response::Refused(Refusal::BadSpec(_))), "{response:?}");
    }
    assert_eq!(tracker.records(), before);
}

#[test]
fn jobs_run_while_targets_still_come_in_and_a_sealed_empty_crawl_is_finished() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    let mut node = tracker.open(1);
    tracker.add(crawl, 0, [1]);
    assert_eq!(tracker.finish_all(&mut node).len(), 1);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Loading);
    tracker.add(crawl, 1, [2]);
    assert_eq!(tracker.finish_all(&mut node).len(), 1);
    tracker.seal(crawl);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
    tracker.seal(crawl);
    let empty = tracker.submit(spec("T"), []);
    assert_eq!(tracker.phase(empty), CrawlPhase::Finished);
    assert_eq!(tracker.view(empty).ended_at, Some(tracker.now));
}

#[test]
fn text_ids_go_the_same_way() {
    let mut tracker = Tracker::new();
    let crawl = tracker.create(spec("T"));
    let users: Vec<UserId> =
        ["did:plc:b", "5", "a@host", "did:plc:b", "4"].map(|t| t.parse().unwrap()).to_vec();
    let add = Mutation::AddTargets { crawl, chunk: 0, users, seeds: false };
    assert_eq!(tracker.apply(add), Response::Added(SubmitSummary { accepted: 4, duplicates: 1 }));
    tracker.seal(crawl);
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, 9);
    for job in &jobs {
        tracker.tell(&mut node, job, failed("fault", false));
    }
    let listed: Vec<_> = tracker.errors(crawl).iter().map(|e| e.user.to_string()).collect();
    assert_eq!(listed, ["4", "5", "a@host", "did:plc:b"]);
    for (at, user) in ["4", "5", "a@host", "did:plc:b"].iter().enumerate() {
        let rest = tracker.state.errors(crawl, Some(&user.parse().unwrap()), 10).unwrap();
        assert_eq!(rest.len(), 3 - at);
    }
}
