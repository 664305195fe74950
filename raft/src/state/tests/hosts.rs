//! Jobs that wait for a host (TWM-H1).

use super::*;
use crate::state::host_table::{MAX_HOSTS, PATIENCE};

/// A day.
const GONE_AFTER: u64 = 86_400_000;

/// Accounts `uN@host`.
fn accounts(host: &str, numbers: std::ops::Range<u64>) -> Vec<UserId> {
    numbers.map(|n| format!("u{n}@{host}").parse().unwrap()).collect()
}

fn away(host: &str) -> Finding {
    let trouble = HostTrouble::Away { reason: "timed out".to_owned(), gone_after_ms: GONE_AFTER };
    Finding::WaitsForHost { progress: None, host: host.to_owned(), after_ms: 100, trouble }
}

fn limited(host: &str, after_ms: u64) -> Finding {
    let trouble = HostTrouble::Limited;
    Finding::WaitsForHost { progress: None, host: host.to_owned(), after_ms, trouble }
}

fn done() -> Finding {
    Finding::Completed { file: false, items: 0 }
}

impl Tracker {
    /// A tracker of today's cluster version.
    fn today() -> Self {
        let mut tracker = Self::new();
        for to in 2..=CLUSTER_VERSION {
            assert_eq!(tracker.apply(Mutation::RaiseVersion { to }), Response::Done);
        }
        tracker
    }

    fn submit_ids(&mut self, spec: CrawlSpec, users: Vec<UserId>) -> CrawlId {
        let crawl = self.create(spec);
        let added = self.apply(Mutation::AddTargets { crawl, chunk: 0, users, seeds: false });
        assert!(matches!(added, Response::Added(_)));
        self.seal(crawl);
        crawl
    }

    /// How many jobs and accounts of a crawl wait for hosts.
    fn at_hosts(&self, crawl: CrawlId) -> u64 {
        self.state.waits(crawl).at_hosts
    }
}

fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| job.user.to_string()).collect()
}

#[test]
fn the_accounts_of_a_host_that_is_away_wait_for_it_and_those_of_others_go_on() {
    let mut tracker = Tracker::today();
    let mut users = accounts("away", 0..6);
    users.extend(accounts("there", 0..3));
    let crawl = tracker.submit_ids(spec("T"), users);
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    tracker.tell(&mut node, &first, away("away"));
    let others = tracker.take(&mut node, 9);
    assert_eq!(names(&others), ["u0@there", "u1@there", "u2@there"]);
    assert_eq!(tracker.at_hosts(crawl), 6);
    let view = tracker.view(crawl);
    assert_eq!((view.delayed, view.queued), (1, 5), "those that were not granted have no record");
    others.iter().for_each(|job| {
        tracker.tell(&mut node, job, done());
    });
    assert_eq!(tracker.phase(crawl), CrawlPhase::Running, "accounts that wait keep a crawl from its end");
    assert!(!tracker.state.has_work(node.session, &Wants::any(1).into()));
    assert_eq!(tracker.state.next_due(30_000), Some(tracker.now + 1_000));
    tracker.wait(1_000);
    let probe = tracker.take(&mut node, 9);
    assert_eq!(names(&probe), ["u0@away"], "one is let out as a probe");
    tracker.tell(&mut node, &probe[0], done());
    let two = tracker.take(&mut node, 9);
    assert_eq!(names(&two), ["u1@away", "u2@away"], "then two");
    two.iter().for_each(|job| {
        tracker.tell(&mut node, job, done());
    });
    let rest = tracker.take(&mut node, 9);
    assert_eq!(rest.len(), 3, "then four, if there are as many");
    rest.iter().for_each(|job| {
        tracker.tell(&mut node, job, done());
    });
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
    tracker.wait(1);
    assert_eq!(tracker.state.awaited_hosts(), (0, 0), "a host that nobody waits for is forgotten");
}

#[test]
fn a_host_that_stays_away_is_asked_ever_more_rarely() {
    let mut tracker = Tracker::today();
    tracker.submit_ids(spec("T"), accounts("away", 0..3));
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    tracker.tell(&mut node, &first, away("away"));
    for rest in [1_000, 2_000, 4_000, 8_000] {
        tracker.wait(rest - 1);
        assert_eq!(tracker.take(&mut node, 9), [], "it rests for {rest} ms");
        tracker.wait(1);
        let probe = tracker.take(&mut node, 9);
        assert_eq!(probe.len(), 1);
        tracker.tell(&mut node, &probe[0], away("away"));
    }
    (0..20).for_each(|_| {
        tracker.wait(900_000);
        let probe = tracker.take_one(&mut node);
        tracker.tell(&mut node, &probe, away("away"));
    });
}

#[test]
fn what_fails_while_a_host_rests_does_not_make_its_rest_longer() {
    let mut tracker = Tracker::today();
    tracker.submit_ids(spec("T"), accounts("away", 0..5));
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, 5);
    jobs.iter().for_each(|job| {
        tracker.tell(&mut node, job, away("away"));
    });
    assert_eq!(tracker.state.next_due(30_000), Some(tracker.now + 1_000));
}

/// A node rests its budget of a host that refuses connections.
#[test]
fn a_node_without_a_budget_for_a_host_that_is_away_does_not_make_it_present() {
    let mut tracker = Tracker::today();
    let crawl = tracker.submit_ids(spec("T"), accounts("away", 0..3));
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    tracker.tell(&mut node, &first, away("away"));
    let since = tracker.now;
    assert_eq!(tracker.take(&mut node, 9), [], "the others wait too");
    for _ in 0..3 {
        tracker.wait(5_000);
        let probe = tracker.take_one(&mut node);
        tracker.tell(&mut node, &probe, limited("away", 5_000));
    }
    let hosts = tracker.state.waits(crawl).hosts.0;
    assert_eq!((hosts[0].away.as_deref(), hosts[0].since), (Some("timed out"), since));
    tracker.wait(GONE_AFTER);
    let probe = tracker.take_one(&mut node);
    tracker.tell(&mut node, &probe, away("away"));
    tracker.wait(1);
    assert_eq!(tracker.users(crawl).failed, 3);
}

#[test]
fn the_probe_of_a_dead_node_goes_to_another_one() {
    let mut tracker = Tracker::today();
    let crawl = tracker.submit_ids(spec("T"), accounts("away", 0..3));
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let first = tracker.take_one(&mut one);
    tracker.tell(&mut one, &first, away("away"));
    tracker.wait(1_000);
    let probe = tracker.take_one(&mut one);
    tracker.lose(&one);
    let again = tracker.take(&mut two, 9);
    assert_eq!((again.len(), again[0].id), (1, probe.id));
    tracker.tell(&mut two, &again[0], done());
    while let Some(job) = tracker.take(&mut two, 1).pop() {
        tracker.tell(&mut two, &job, done());
    }
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn a_probe_that_finds_nothing_for_long_is_followed_by_another_one() {
    let mut tracker = Tracker::today();
    tracker.submit_ids(spec("T"), accounts("away", 0..3));
    let (mut one, mut two) = (tracker.open(1), tracker.open(2));
    let first = tracker.take_one(&mut one);
    tracker.tell(&mut one, &first, away("away"));
    tracker.wait(1_000);
    let slow = tracker.take_one(&mut one);
    assert_eq!(tracker.state.next_due(30_000), Some(tracker.now + PATIENCE));
    tracker.wait(PATIENCE - 1);
    assert_eq!(tracker.take(&mut two, 9), []);
    tracker.wait(1);
    let next = tracker.take(&mut two, 9);
    assert_eq!(next.len(), 1);
    tracker.tell(&mut two, &next[0], done());
    // The slow one counts as any other job.
    tracker.tell(&mut one, &slow, done());
    assert_eq!(tracker.take(&mut two, 9).len(), 1);
}

#[test]
fn a_spent_budget_is_waited_for_and_another_node_may_have_one_left() {
    let mut tracker = Tracker::today();
    let crawl = tracker.submit_ids(spec("T"), accounts("host", 0..4));
    let mut one = tracker.open(1);
    let job = tracker.take_one(&mut one);
    tracker.tell(&mut one, &job, limited("host", 300_000));
    assert_eq!(tracker.state.next_due(30_000), Some(tracker.now + 300_000), "this node has none before");
    tracker.wait(300_000);
    let job = tracker.take_one(&mut one);
    tracker.tell(&mut one, &job, done());
    let mut two = tracker.open(2);
    for job in tracker.take(&mut one, 9) {
        tracker.tell(&mut one, &job, limited("host", 300_000));
    }
    assert_eq!(tracker.state.waits(crawl).hosts.0[0].away, None);
    tracker.wait(1_000);
    let job = tracker.take_one(&mut two);
    tracker.tell(&mut two, &job, done());
    assert_eq!(tracker.take(&mut two, 9).len(), 2);
}

#[test]
fn a_host_that_is_away_for_too_long_fails_its_accounts_with_all_they_had_left_and_the_crawl_ends() {
    let mut tracker = Tracker::today();
    let crawl = tracker.submit_ids(spec("TF"), accounts("away", 0..120));
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    tracker.tell(&mut node, &first, away("away"));
    let since = tracker.now;
    tracker.take(&mut node, 1);
    let waits = tracker.state.waits(crawl);
    assert_eq!((waits.hosts.1, waits.at_hosts), (1, 120));
    let host = &waits.hosts.0[0];
    assert_eq!((host.name.as_str(), host.away.as_deref(), host.since), ("away", Some("timed out"), since));
    // Nobody tried for a day: that decides nothing.
    tracker.wait(GONE_AFTER - 1);
    assert_eq!((tracker.at_hosts(crawl), tracker.errors(crawl).len()), (119, 0));
    let probe = tracker.take_one(&mut node);
    tracker.tell(&mut node, &probe, away("away"));
    assert_eq!(tracker.errors(crawl).len(), 0);
    tracker.wait(1_000);
    let probe = tracker.take_one(&mut node);
    tracker.tell(&mut node, &probe, away("away"));
    for _ in 0..4 {
        tracker.wait(1);
    }
    assert_eq!((tracker.phase(crawl), tracker.users(crawl).failed), (CrawlPhase::Finished, 120));
    let errors = tracker.errors(crawl);
    let reasons: Vec<&str> = errors[7].why.iter().map(|failure| failure.reason.as_str()).collect();
    assert_eq!(reasons, ["host away has been away for 24 h and is given up: timed out"; 2]);
    // An operator retries: each is tried once.
    let request = RequestId { client: 9, sequence: 9 };
    let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 1_000 };
    assert_eq!(tracker.apply(retry), Response::Retried(120));
    let jobs = tracker.take(&mut node, 2);
    tracker.tell(&mut node, &jobs[0], away("away"));
    assert_eq!(tracker.users(crawl).failed, 1);
    tracker.tell(&mut node, &jobs[1], done());
    assert_eq!(tracker.state.awaited_hosts().1, 0, "it is back");
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        tracker.tell(&mut node, &job, done());
    }
    assert_eq!((tracker.phase(crawl), tracker.users(crawl).completed), (CrawlPhase::Finished, 119));
}

#[test]
fn an_account_of_a_host_that_was_given_up_fails_again_only_if_the_host_is_asked_in_vain() {
    let mut tracker = Tracker::today();
    let crawl = tracker.submit_ids(spec("T"), accounts("away", 0..2));
    let mut node = tracker.open(1);
    for wait in [0, GONE_AFTER] {
        tracker.wait(wait);
        let job = tracker.take_one(&mut node);
        tracker.tell(&mut node, &job, away("away"));
        assert_eq!(tracker.take(&mut node, 9), [], "the other waits too");
    }
    tracker.wait(1);
    assert_eq!(tracker.users(crawl).failed, 2);
    let request = RequestId { client: 9, sequence: 9 };
    let retry = Mutation::RetryErrors { request, crawl, user: None, limit: 1_000 };
    assert_eq!(tracker.apply(retry), Response::Retried(2));
    // The node still lets the host rest.
    let busy = |after_ms| {
        let trouble = HostTrouble::Busy;
        Finding::WaitsForHost { progress: None, host: "away".to_owned(), after_ms, trouble }
    };
    for job in tracker.take(&mut node, 2) {
        tracker.tell(&mut node, &job, busy(30_000));
    }
    tracker.wait(29_999);
    assert_eq!((tracker.users(crawl).failed, tracker.take(&mut node, 9).len()), (0, 0));
    tracker.wait(1);
    let probe = tracker.take_one(&mut node);
    tracker.tell(&mut node, &probe, done());
    let last = tracker.take_one(&mut node);
    tracker.tell(&mut node, &last, done());
    assert_eq!(tracker.users(crawl).completed, 2);
}

#[test]
fn accounts_that_are_found_after_their_host_was_given_up_do_not_wait_for_it_again() {
    let mut tracker = Tracker::today();
    tracker.submit_ids(spec("T"), accounts("away", 0..1));
    let mut node = tracker.open(1);
    for wait in [0, GONE_AFTER] {
        tracker.wait(wait);
        let job = tracker.take_one(&mut node);
        tracker.tell(&mut node, &job, away("away"));
    }
    let later = tracker.submit_ids(spec("T"), accounts("away", 5..9));
    assert_eq!(tracker.take(&mut node, 9), []);
    tracker.wait(1);
    assert_eq!((tracker.phase(later), tracker.users(later).failed), (CrawlPhase::Finished, 4));
    tracker.wait(2 * GONE_AFTER);
    assert_eq!(tracker.state.awaited_hosts(), (0, 0));
    tracker.submit_ids(spec("T"), accounts("away", 10..11));
    assert_eq!(tracker.take(&mut node, 9).len(), 1, "after as long again it is tried again");
}

#[test]
fn crawls_take_turns_at_a_host_and_a_paused_one_holds_up_no_other() {
    let mut tracker = Tracker::today();
    let one = tracker.submit_ids(spec("T"), accounts("away", 0..4));
    let two = tracker.submit_ids(spec("T"), accounts("away", 4..8));
    let mut node = tracker.open(1);
    let first = tracker.take_one(&mut node);
    tracker.tell(&mut node, &first, away("away"));
    assert_eq!(tracker.take(&mut node, 9), []);
    assert_eq!((tracker.at_hosts(one), tracker.at_hosts(two)), (4, 4));
    tracker.wait(1_000);
    let probe = tracker.take_one(&mut node);
    tracker.tell(&mut node, &probe, done());
    let pair = tracker.take(&mut node, 9);
    let crawls: std::collections::BTreeSet<CrawlId> = pair.iter().map(|job| job.crawl).collect();
    assert_eq!(crawls.len(), 2, "one of each");
    assert_eq!(tracker.apply(Mutation::PauseCrawl { crawl: one }), Response::Done);
    tracker.report(&mut node, pair.iter().map(|job| (job.id, job.lease, done())).collect(), Wants::NONE);
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        assert_eq!(job.crawl, two);
        tracker.tell(&mut node, &job, done());
    }
    assert_eq!(tracker.phase(two), CrawlPhase::Finished);
    assert_eq!(tracker.apply(Mutation::ResumeCrawl { crawl: one }), Response::Done);
    tracker.wait(0);
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        tracker.tell(&mut node, &job, done());
    }
    assert_eq!(tracker.phase(one), CrawlPhase::Finished);
}

#[test]
fn a_cancelled_crawl_leaves_nothing_at_any_host() {
    let mut tracker = Tracker::today();
    let before = tracker.records().len();
    let crawl = tracker.submit_ids(spec("T"), accounts("away", 0..50));
    let mut node = tracker.open(1);
    for _ in 0..2 {
        for job in tracker.take(&mut node, 2) {
            tracker.tell(&mut node, &job, away("away"));
        }
        tracker.wait(1_000);
    }
    tracker.take(&mut node, 1);
    assert!(tracker.at_hosts(crawl) > 40);
    assert_eq!(tracker.apply(Mutation::CancelCrawl { crawl }), Response::Done);
    assert_eq!(tracker.users(crawl).cancelled, 50);
    tracker.close(&node);
    tracker.wait(GONE_AFTER);
    assert_eq!(tracker.state.awaited_hosts(), (0, 0));
    assert_eq!(tracker.apply(Mutation::DeleteCrawl { crawl }), Response::Done);
    tracker.restart();
    // The record of the outbox, the requests and the roster are those of any tracker.
    assert!(tracker.records().len() <= before + 2, "{:?}", tracker.records());
}

#[test]
fn with_too_many_hosts_the_jobs_of_further_ones_wait_for_a_time_of_their_own() {
    let mut tracker = Tracker { restarts: false, ..Tracker::today() };
    let users = (0..MAX_HOSTS + 2).map(|n| format!("u@host{n}").parse().unwrap()).collect();
    let crawl = tracker.submit_ids(spec("T"), users);
    let mut node = tracker.open(1);
    for _ in 0..MAX_HOSTS {
        let job = tracker.take_one(&mut node);
        let (_, host) =
            job.user.to_string().split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        tracker.tell(&mut node, &job, away(&host));
    }
    let one = tracker.take_one(&mut node);
    tracker.tell(&mut node, &one, away("yet-another"));
    let two = tracker.take_one(&mut node);
    tracker.tell(&mut node, &two, limited("and-another", 500));
    let waits = tracker.state.waits(crawl);
    assert_eq!((waits.hosts.1, waits.retries.jobs, waits.limited.jobs), (MAX_HOSTS as u64, 1, 1));
    tracker.restart();
    assert_eq!(tracker.state.waits(crawl), waits);
}

#[test]
fn an_older_cluster_refuses_findings_that_it_does_not_know() {
    let mut tracker = Tracker::new();
    tracker.submit_ids(spec("T"), accounts("away", 0..1));
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let findings = vec![(job.id, job.lease, away("away"))];
    let report = Report { session: node.session, sequence: 2, findings, wants: Wants::NONE };
    let answer = tracker.apply(Mutation::Report(report));
    assert!(matches!(answer, Response::Refused(Refusal::NeedsVersion { needs: 6, .. })), "{answer:?}");
}
