//! Which crawl's job a node is granted, and the isolation of crawls.

use std::collections::BTreeMap;

use super::*;

/// How many of the next jobs each crawl gets.
fn shares(tracker: &mut Tracker, node: &mut Node, jobs: u16) -> BTreeMap<CrawlId, u32> {
    let mut shares = BTreeMap::new();
    for job in tracker.take(node, jobs) {
        *shares.entry(job.crawl).or_default() += 1;
    }
    shares
}

fn priority(priority: u8) -> CrawlSpec {
    CrawlSpec { priority, ..spec("T") }
}

#[test]
fn twm_f1_a_crawl_of_a_million_targets_does_not_starve_one_of_ten() {
    let mut tracker = Tracker::without_restarts();
    let large = tracker.submit(spec("T"), (0..1_000_000).map(|n| 1_000 + n * 977));
    let mut node = tracker.open(1);
    assert_eq!(tracker.take(&mut node, 500).len(), 500);
    let small = tracker.submit(spec("T"), 1..=10);
    let shares = shares(&mut tracker, &mut node, 21);
    assert_eq!((shares[&small], shares[&large]), (10, 11));
}

#[test]
fn twm_f1_priorities_are_shares() {
    let mut tracker = Tracker::without_restarts();
    let low = tracker.submit(priority(1), 1..=5_000);
    let high = tracker.submit(priority(10), 10_001..=15_000);
    let mut node = tracker.open(1);
    let shares = shares(&mut tracker, &mut node, 1_000);
    assert!((85..=95).contains(&shares[&low]), "{shares:?}");
    assert_eq!(shares[&low] + shares[&high], 1_000);
}

#[test]
fn twm_f1_jobs_in_later_operations_count_as_well() {
    let mut tracker = Tracker::without_restarts();
    let long = tracker.submit(spec("TFA"), 1..=1_000);
    let short = tracker.submit(spec("T"), 5_001..=6_000);
    let mut node = tracker.open(1);
    let mut shares: BTreeMap<CrawlId, u32> = BTreeMap::new();
    for _ in 0..60 {
        for job in tracker.take(&mut node, 10) {
            *shares.entry(job.crawl).or_default() += 1;
            tracker.finish(&mut node, &job);
        }
    }
    assert!((295..=305).contains(&shares[&long]) && (295..=305).contains(&shares[&short]), "{shares:?}");
}

#[test]
fn twm_f1_a_crawl_that_had_nothing_to_grant_is_not_owed_what_it_missed() {
    let mut tracker = Tracker::without_restarts();
    let loading = tracker.create(spec("T"));
    let paused = tracker.submit(spec("T"), 20_001..=22_000);
    tracker.apply(Mutation::PauseCrawl { crawl: paused });
    let busy = tracker.submit(spec("T"), 1..=5_000);
    let mut node = tracker.open(1);
    for _ in 0..2 {
        assert_eq!(tracker.take(&mut node, 1_000).len(), 1_000);
    }
    tracker.add(loading, 0, 10_001..=12_000);
    tracker.apply(Mutation::ResumeCrawl { crawl: paused });
    let shares = shares(&mut tracker, &mut node, 300);
    assert!(shares.values().all(|share| (99..=101).contains(share)), "{shares:?}");
    assert!([loading, paused, busy].iter().all(|c| shares.contains_key(c)));
}

#[test]
fn twm_f1_many_jobs_given_back_or_retried_do_not_starve_others() {
    let mut tracker = Tracker::without_restarts();
    let first = tracker.submit(spec("T"), 1..=900);
    let mut lost = tracker.open_on(2, 5);
    let jobs = tracker.take(&mut lost, 900);
    for job in &jobs[..300] {
        tracker.tell(&mut lost, job, failed("fault", false));
    }
    tracker.lose(&lost);
    let request = RequestId { client: 2, sequence: 2 };
    let retry = Mutation::RetryErrors { request, crawl: first, user: None, limit: 1_000 };
    assert_eq!(tracker.apply(retry), Response::Retried(300));
    let second = tracker.submit(spec("T"), 2_001..=3_000);
    let mut node = tracker.open(1);
    let shares = shares(&mut tracker, &mut node, 100);
    assert!((49..=51).contains(&shares[&second]), "{shares:?}");
}

#[test]
fn twm_l3_two_crawls_never_write_the_same_file_at_once_and_both_finish() {
    let mut tracker = Tracker::new();
    let crawls = [tracker.submit(spec("TF"), [1, 2, 3]), tracker.submit(spec("TF"), [3, 2, 1])];
    let updates = tracker.submit(spec("U"), [2]);
    let mut node = tracker.open(1);
    let mut written: Vec<Job> = Vec::new();
    let mut done = 0;
    for _ in 0..500 {
        written.extend(tracker.take(&mut node, 3));
        let kind = |job: &Job| job.operation == Operation::Followers;
        let mut files: Vec<_> = written.iter().map(|j| (j.user.clone(), kind(j))).collect();
        files.sort();
        assert!(files.windows(2).all(|w| w[0] != w[1]), "{files:?}");
        if written.len() > 4 || (!written.is_empty() && tracker.index % 3 == 0) {
            let job = written.remove(0);
            tracker.finish(&mut node, &job);
            done += 1;
        }
        tracker.wait(50);
    }
    assert_eq!(done, 13);
    let all = [crawls[0], crawls[1], updates];
    assert!(all.iter().all(|&c| tracker.phase(c) == CrawlPhase::Finished));
}

#[test]
fn twm_l3_a_file_is_held_until_its_draft_has_its_name() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [1]);
    tracker.submit(spec("U"), [1]);
    let (mut one, mut two) = (tracker.open_on(1, 5), tracker.open_on(2, 5));
    let job = tracker.take_one(&mut one);
    tracker.tell(&mut one, &job, Finding::Completed { file: true, items: 1 });
    tracker.lose(&one);
    tracker.wait(1_000);
    let answer = tracker.report(&mut two, Vec::new(), Wants::any(5));
    assert_eq!((answer.granted.len(), answer.publish.len()), (0, 1));
    tracker.tell(&mut two, &job, Finding::Published);
    tracker.wait(1_000);
    assert_eq!(tracker.take(&mut two, 5).len(), 1);
}

#[test]
fn a_node_gets_only_the_operations_that_it_wants() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), 1..=5);
    tracker.submit(spec("F"), 11..=15);
    tracker.submit(spec("A"), 21..=25);
    let mut node = tracker.open(1);
    let wants = Wants { total: 4, each: [1, 3, 0, 2] };
    let jobs = tracker.report(&mut node, Vec::new(), wants).granted;
    let mut letters: Vec<_> = jobs.iter().map(|j| j.operation.letter()).collect();
    letters.sort_unstable();
    assert_eq!(letters, ['A', 'A', 'T']);
    let wants = Wants { total: 9, each: [0, 9, 0, 0] };
    assert!(!tracker.state.has_work(node.session, &wants.into()));
    assert_eq!(tracker.report(&mut node, Vec::new(), wants).granted, []);
}

#[test]
fn one_entry_grants_at_most_as_many_jobs_as_it_has_leases() {
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), 1..=3_000);
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, u16::MAX);
    assert_eq!(jobs.len(), LeaseId::SLOTS);
    assert!(jobs.windows(2).all(|w| w[0].lease < w[1].lease));
    assert!(jobs.iter().all(|j| j.lease.log_index() == tracker.index));
    assert!(tracker.take(&mut node, 1)[0].lease > jobs[LeaseId::SLOTS - 1].lease);
}
