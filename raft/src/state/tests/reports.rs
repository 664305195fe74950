//! Repeated, late and wrong reports.

use super::*;

/// Every kind of finding.
fn every_finding(job: &Job) -> Vec<Finding> {
    vec![
        Finding::Completed { file: true, items: 3 },
        Finding::Completed { file: false, items: 3 },
        Finding::Published,
        Finding::Advanced(draft(job, 1, 100)),
        Finding::Limited { progress: Some(draft(job, 1, 200)), after_ms: 50 },
        Finding::Gone(GoneReason::NotFound),
        failed("fault", true),
        failed("fault", false),
        Finding::HandedBack { progress: Some(draft(job, 1, 300)) },
        Finding::InputMissing,
        Finding::Discovered { admitted: ids([501, 502]), discarded: ids([503]), progress: cursor("2") },
    ]
}

/// A session with some jobs of each operation.
fn busy() -> (Tracker, Node, Vec<Job>) {
    let mut tracker = Tracker::new();
    let mut analysed = spec("A");
    analysed.traversal = Traversal::Bfs;
    tracker.submit(spec("TFA"), 100..106);
    tracker.submit(analysed, 200..203);
    tracker.submit(spec("U"), 300..303);
    let mut node = tracker.open(1);
    tracker.open(2);
    let jobs = tracker.take(&mut node, 8);
    assert_eq!(jobs.len(), 8);
    (tracker, node, jobs)
}

#[test]
fn twm_s2_a_repeated_report_gets_the_same_answer_and_changes_nothing() {
    for kind in 0..11 {
        let (mut tracker, mut node, jobs) = busy();
        let mut findings: Vec<_> =
            jobs.iter().map(|j| (j.id, j.lease, every_finding(j).swap_remove(kind))).collect();
        let stale = LeaseId(jobs[0].lease.0 + 900);
        findings.push((jobs[0].id, stale, every_finding(&jobs[0]).swap_remove(kind)));
        node.sequence += 1;
        let (session, sequence) = (node.session, node.sequence);
        let report = Mutation::Report(Report { session, sequence, findings, wants: Wants::any(4) });
        let first = tracker.apply(report.clone());
        let Response::Report(answer) = &first else { panic!("{first:?}") };
        assert_eq!(answer.stale, [stale]);
        let before = tracker.records();
        for _ in 0..3 {
            assert_eq!(tracker.apply(report.clone()), first, "finding {kind}");
        }
        assert_eq!(tracker.records(), before, "finding {kind}");
    }
}

#[test]
fn twm_s2_several_findings_of_one_job_in_a_report_get_the_same_answer_again() {
    let (mut tracker, mut node, jobs) = busy();
    let job = &jobs[0];
    let findings = every_finding(job).into_iter().map(|f| (job.id, job.lease, f)).collect();
    node.sequence += 1;
    let (session, sequence) = (node.session, node.sequence);
    let report = Mutation::Report(Report { session, sequence, findings, wants: Wants::any(4) });
    let first = tracker.apply(report.clone());
    assert_eq!(tracker.apply(report), first);
}

#[test]
fn twm_l2_a_stale_lease_changes_nothing() {
    for kind in 0..11 {
        let (mut tracker, mut node, jobs) = busy();
        // The job was handed back and granted again, so that its old lease is invalid.
        let given_back = Finding::HandedBack { progress: None };
        tracker.tell(&mut node, &jobs[0], given_back);
        let granted = tracker.take(&mut node, 20);
        let again = granted.iter().find(|j| j.id == jobs[0].id).unwrap();
        let mut other = tracker.open(3);
        let finding = every_finding(&jobs[0]).swap_remove(kind);
        for (by, lease) in [(&mut node, jobs[0].lease), (&mut other, again.lease)] {
            let before = (tracker.state.crawls(), tracker.state.sessions(), tracker.jobs());
            let answer = tracker.report(by, vec![(again.id, lease, finding.clone())], Wants::NONE);
            assert_eq!(answer, ReportAnswer { stale: vec![lease], ..Default::default() }, "finding {kind}");
            let after = (tracker.state.crawls(), tracker.state.sessions(), tracker.jobs());
            assert_eq!(before, after, "finding {kind}");
        }
    }
}

#[test]
fn a_report_out_of_order_is_refused_and_changes_nothing() {
    let (mut tracker, node, jobs) = busy();
    let before = tracker.records();
    let findings = vec![(jobs[0].id, jobs[0].lease, Finding::Gone(GoneReason::NotFound))];
    for (got, expected) in [(node.sequence + 2, node.sequence + 1), (0, node.sequence + 1), (u64::MAX, 2)] {
        let report =
            Report { session: node.session, sequence: got, findings: findings.clone(), wants: Wants::any(3) };
        let refusal = Refusal::OutOfOrder { session: node.session, got, expected };
        assert_eq!(tracker.apply(Mutation::Report(report)), Response::Refused(refusal));
    }
    assert_eq!(tracker.records(), before);
    let fresh = tracker.open(3);
    let report = Report { session: fresh.session, sequence: 0, findings, wants: Wants::any(3) };
    assert!(matches!(tracker.apply(Mutation::Report(report)), Response::Refused(_)), "they count from 1");
}

#[test]
fn a_report_of_an_ended_session_is_refused_and_changes_nothing() {
    let (mut tracker, node, jobs) = busy();
    tracker.lose(&node);
    let before = tracker.records();
    let findings = vec![(jobs[0].id, jobs[0].lease, Finding::Gone(GoneReason::NotFound))];
    let report =
        Report { session: node.session, sequence: node.sequence + 1, findings, wants: Wants::any(3) };
    let over = Response::Refused(Refusal::SessionOver(node.session));
    assert_eq!(tracker.apply(Mutation::Report(report)), over);
    let ended = Mutation::EndSession { session: node.session, graceful: false };
    assert_eq!(tracker.apply(ended), over);
    assert_eq!(tracker.records(), before);
    assert!(
        tracker.state.has_work(node.session, &Wants::NONE.into()),
        "its node learns it from its next report"
    );
}

#[test]
fn a_completion_is_published_though_its_crawl_was_cancelled_meanwhile() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    let findings = vec![(job.id, job.lease, Finding::Completed { file: true, items: 1 })];
    node.sequence += 1;
    let report = Report { session: node.session, sequence: node.sequence, findings, wants: Wants::NONE };
    let Response::Report(first) = tracker.apply(Mutation::Report(report.clone())) else { panic!() };
    assert_eq!((first.publish.len(), first.stale.len()), (1, 0));
    assert_eq!(tracker.apply(Mutation::CancelCrawl { crawl }), Response::Done);
    let Response::Report(again) = tracker.apply(Mutation::Report(report)) else { panic!() };
    assert_eq!((again.publish.len(), again.stale.len()), (1, 0), "the first answer may have come");
    assert_eq!(first, again);
}

#[test]
fn no_report_makes_a_record_larger_than_the_store_takes() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), 1..=1_024);
    let mut node = tracker.open(1);
    let jobs = tracker.take(&mut node, u16::MAX);
    let mut findings: Vec<_> = (0..600_000).map(|_| (JobId(1), LeaseId(1), Finding::Published)).collect();
    let long = Progress { cursor: "x".repeat(100_000), ..draft(&jobs[0], 1, 10) };
    findings.push((jobs[0].id, jobs[0].lease, Finding::Advanced(long.clone())));
    findings.push((jobs[1].id, jobs[1].lease, failed(&"x".repeat(100_000), false)));
    let saved = draft(&jobs[2], 1, 10);
    findings.push((jobs[2].id, jobs[2].lease, Finding::Advanced(saved.clone())));
    findings.push((jobs[2].id, jobs[2].lease, Finding::HandedBack { progress: Some(long) }));
    tracker.report(&mut node, findings, Wants::NONE);
    let again = tracker.take_one(&mut node);
    assert_eq!((again.id, again.progress), (jobs[2].id, Some(saved)), "it continues where it was saved");
    assert_eq!(tracker.users(crawl).failed, 1);
}

#[test]
fn a_job_that_waits_for_its_publication_takes_no_other_finding() {
    for finding in every_finding(&busy().2[0]) {
        let (mut tracker, mut node, jobs) = busy();
        let job = jobs.iter().find(|job| job.operation == Operation::Timeline).unwrap();
        tracker.tell(&mut node, job, Finding::Completed { file: true, items: 3 });
        if finding == Finding::Published {
            continue;
        }
        let before = (tracker.state.crawls(), tracker.jobs());
        let answer = tracker.report(&mut node, vec![(job.id, job.lease, finding.clone())], Wants::NONE);
        assert_eq!(answer.stale, []);
        assert_eq!((tracker.state.crawls(), tracker.jobs()), before, "{finding:?}");
        // It is told again what to publish if it completes the job again.
        let completes = matches!(finding, Finding::Completed { file: true, .. });
        assert_eq!(answer.publish.len(), usize::from(completes), "{finding:?}");
    }
}

#[test]
fn a_publication_or_the_loss_of_a_draft_of_a_running_job_changes_nothing() {
    for finding in [Finding::Published, Finding::DraftLost] {
        let (mut tracker, mut node, jobs) = busy();
        let before = (tracker.state.crawls(), tracker.jobs());
        tracker.tell(&mut node, &jobs[0], finding);
        assert_eq!((tracker.state.crawls(), tracker.jobs()), before);
    }
}

#[test]
fn a_job_whose_finished_draft_was_lost_starts_over() {
    let (mut tracker, mut node, jobs) = busy();
    let job = jobs.iter().find(|job| job.operation == Operation::Timeline).unwrap();
    tracker.tell(&mut node, job, Finding::Advanced(draft(job, 1, 100)));
    tracker.tell(&mut node, job, Finding::Completed { file: true, items: 3 });
    tracker.tell(&mut node, job, Finding::DraftLost);
    tracker.wait(1);
    let again = tracker.take(&mut node, 20).into_iter().find(|again| again.id == job.id).unwrap();
    assert_eq!((again.operation, again.attempt, again.progress), (Operation::Timeline, 2, None));
}

#[test]
fn a_report_is_granted_no_more_jobs_than_its_log_entry_has_leases_for() {
    let mut tracker = Tracker::without_restarts();
    tracker.submit(spec("T"), 1..=LeaseId::SLOTS as u64 + 5);
    let mut node = tracker.open(1);
    assert_eq!(tracker.take(&mut node, u16::MAX).len(), LeaseId::SLOTS);
    assert_eq!(tracker.take(&mut node, u16::MAX).len(), 5);
}

impl Tracker {
    fn jobs(&self) -> Vec<(JobId, super::super::job::JobRecord)> {
        self.state.jobs.iter().map(|(id, record)| (id, record.clone())).collect()
    }
}
