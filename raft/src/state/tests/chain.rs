//! An account's way through its operations.

use super::*;

#[test]
fn an_accounts_jobs_run_one_after_the_other() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("AFT"), [7]);
    let mut node = tracker.open(1);
    for operation in [Operation::Timeline, Operation::Followers, Operation::Analysis] {
        let jobs = tracker.take(&mut node, 5);
        assert_eq!(jobs.iter().map(|j| j.operation).collect::<Vec<_>>(), [operation]);
        assert_eq!((jobs[0].attempt, &jobs[0].progress), (1, &None));
        assert_eq!(tracker.phase(crawl), CrawlPhase::Running);
        tracker.finish(&mut node, &jobs[0]);
    }
    let view = tracker.view(crawl);
    assert_eq!(view.phase, CrawlPhase::Finished);
    assert_eq!(view.counters.users, UserCounters { accepted: 1, completed: 1, ..Default::default() });
    let done = OperationCounters { completed: 1, items: 10, ..Default::default() };
    assert_eq!(view.counters.operations, [done, OperationCounters::default(), done, done]);
    assert_eq!((view.queued, view.ready, view.leased, view.delayed), (0, 0, 0, 0));
    assert_eq!(tracker.state.sessions()[0].completed, 3);
    assert_eq!(tracker.take(&mut node, 5), []);
}

#[test]
fn nothing_goes_on_before_the_draft_has_its_name() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TF"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Completed { file: true, items: 1 });
    assert_eq!(tracker.take(&mut node, 5), []);
    assert_eq!(tracker.view(crawl).counters.operations[0].completed, 0, "TWM-P1: not yet published");
    tracker.tell(&mut node, &job, Finding::Published);
    assert_eq!(tracker.take_one(&mut node).operation, Operation::Followers);
}

#[test]
fn a_gone_timeline_does_not_drop_followers_and_analysis() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Gone(GoneReason::Protected));
    assert_eq!(operations(&tracker.finish_all(&mut node)), "FA");
    assert_eq!(tracker.users(crawl), UserCounters { accepted: 1, completed: 1, ..Default::default() });
    let gone = tracker.state.gone_users(crawl, None, 10).unwrap();
    assert_eq!(gone[0].why, [Gone { operation: Operation::Timeline, reason: GoneReason::Protected }]);
}

#[test]
fn gone_followers_drop_the_analysis_only() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), [7]);
    let mut node = tracker.open(1);
    let timeline = tracker.take_one(&mut node);
    tracker.finish(&mut node, &timeline);
    let followers = tracker.take_one(&mut node);
    tracker.tell(&mut node, &followers, Finding::Gone(GoneReason::Suspended));
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
    let counters = tracker.view(crawl).counters;
    assert_eq!(counters.users.completed, 1);
    assert_eq!(counters.operations.map(|o| (o.completed, o.gone)), [(1, 0), (0, 0), (0, 1), (0, 0)]);
}

#[test]
fn an_account_is_gone_when_every_operation_found_it_so() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), [7]);
    let mut node = tracker.open(1);
    for reason in [GoneReason::NotFound, GoneReason::Suspended] {
        let job = tracker.take_one(&mut node);
        tracker.tell(&mut node, &job, Finding::Gone(reason));
    }
    assert_eq!(tracker.users(crawl), UserCounters { accepted: 1, gone: 1, ..Default::default() });
    let gone = tracker.state.gone_users(crawl, None, 10).unwrap();
    assert_eq!(gone[0].why.iter().map(|g| g.operation.letter()).collect::<String>(), "TF");
    assert_eq!(tracker.errors(crawl), []);
}

#[test]
fn a_failing_job_is_tried_again_later_and_then_goes_to_the_error_list() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), [7]);
    let mut node = tracker.open(1);
    let timeline = tracker.take_one(&mut node);
    tracker.finish(&mut node, &timeline);
    for attempt in 1..=3 {
        let job = tracker.take_one(&mut node);
        assert_eq!((job.operation, job.attempt), (Operation::Followers, attempt));
        tracker.tell(&mut node, &job, failed(&format!("fault {attempt}"), true));
        assert_eq!(tracker.take(&mut node, 5), [], "it backs off");
        tracker.wait(99);
        assert_eq!(tracker.take(&mut node, 5), []);
        tracker.wait(1);
    }
    let counters = tracker.view(crawl).counters;
    assert_eq!(counters.users, UserCounters { accepted: 1, failed: 1, ..Default::default() });
    assert_eq!((counters.operations[2].retried, counters.operations[2].failed), (2, 1));
    let why = Failure { operation: Operation::Followers, reason: "fault 3".into(), attempts: 3 };
    assert_eq!(tracker.errors(crawl), [FailedUser { user: UserId::Number(7), depth: 0, why: vec![why] }]);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn a_hopeless_failure_is_not_tried_again_and_its_reason_is_cut() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7]);
    let mut node = tracker.open(1);
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, failed(&"é".repeat(1_000), false));
    let why = &tracker.errors(crawl)[0].why[0];
    assert_eq!((why.reason.len(), why.attempts), (512, 1));
}

#[test]
fn a_retried_failure_runs_with_what_depends_on_it() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("TFA"), [7, 8]);
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 2) {
        tracker.finish(&mut node, &job);
    }
    for job in tracker.take(&mut node, 2) {
        tracker.tell(&mut node, &job, failed("fault", false));
    }
    let request = RequestId { client: 5, sequence: 1 };
    let retry = |user| Mutation::RetryErrors { request, crawl, user: Some(UserId::Number(user)), limit: 10 };
    assert_eq!(tracker.apply(retry(8)), Response::Retried(1));
    assert_eq!(tracker.apply(retry(8)), Response::Retried(1), "the same write");
    assert_eq!(tracker.phase(crawl), CrawlPhase::Running);
    let expected = UserCounters { accepted: 2, active: 1, failed: 1, ..Default::default() };
    assert_eq!(tracker.users(crawl), expected);
    assert_eq!(operations(&tracker.finish_all(&mut node)), "FA");
    let expected = UserCounters { accepted: 2, completed: 1, failed: 1, ..Default::default() };
    assert_eq!(tracker.users(crawl), expected);
    assert_eq!(tracker.errors(crawl).iter().map(|e| e.user.to_string()).collect::<Vec<_>>(), ["7"]);
    assert_eq!(tracker.phase(crawl), CrawlPhase::Finished);
}

#[test]
fn numbers_from_a_node_that_fit_nowhere_do_no_harm() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("T"), [7, 8, 9]);
    let mut node = tracker.open(1);
    for job in tracker.take(&mut node, 2) {
        tracker.tell(&mut node, &job, Finding::Completed { file: false, items: u64::MAX });
    }
    let job = tracker.take_one(&mut node);
    tracker.tell(&mut node, &job, Finding::Limited { progress: None, after_ms: u64::MAX });
    assert_eq!(tracker.view(crawl).counters.operations[0].items, u64::MAX);
    assert_eq!(tracker.view(crawl).delayed, 1);
    let none = CrawlId(u64::MAX);
    assert_eq!(tracker.state.errors(none, Some(&UserId::Number(1)), 10).unwrap(), []);
    assert_eq!(tracker.state.gone_users(none, None, 10).unwrap(), []);
    assert_eq!(tracker.state.frontier(none, u64::MAX).unwrap(), FrontierPage::default());
    assert_eq!(tracker.state.frontier(crawl, u64::MAX).unwrap(), FrontierPage::default());
}

#[test]
fn an_account_without_followers_has_nothing_to_analyse() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("FA"), [7]);
    let mut node = tracker.open(1);
    let followers = tracker.take_one(&mut node);
    tracker.tell(&mut node, &followers, Finding::Completed { file: false, items: 0 });
    assert_eq!(tracker.take(&mut node, 5), []);
    let view = tracker.view(crawl);
    assert_eq!(view.phase, CrawlPhase::Finished);
    assert_eq!(view.counters.users, UserCounters { accepted: 1, completed: 1, ..Default::default() });
    let done = OperationCounters { completed: 1, ..Default::default() };
    assert_eq!(view.counters.operations[Operation::Followers.index()..], [done, done]);
}

#[test]
fn an_input_that_is_missing_each_time_is_made_a_few_times_and_then_given_up() {
    let mut tracker = Tracker::new();
    let crawl = tracker.submit(spec("FA"), [1]);
    let mut node = tracker.open(1);
    let mut done = String::new();
    while let Some(job) = tracker.take(&mut node, 1).pop() {
        done.push(job.operation.letter());
        assert!(done.len() < 20, "it is made for ever: {done}");
        match job.operation {
            Operation::Analysis => drop(tracker.tell(&mut node, &job, Finding::InputMissing)),
            _ => tracker.finish(&mut node, &job),
        }
    }
    assert_eq!(done, "FAFAFAFA");
    let Failure { reason, attempts, .. } = tracker.errors(crawl)[0].why[0].clone();
    assert!(reason.contains("made 3 times"), "{reason}");
    assert_eq!(attempts, 1);
}

#[test]
fn no_more_storages_are_asked_for_an_input_than_a_jobs_record_takes() {
    let mut tracker = Tracker::without_restarts();
    tracker.submit(spec("FA"), [1]);
    let mut nodes: Vec<Node> = (1..=260).map(|node| tracker.open(node)).collect();
    let job = tracker.take_one(&mut nodes[0]);
    tracker.finish(&mut nodes[0], &job);
    let mut asked = 0;
    loop {
        let job = tracker.take_one(&mut nodes[asked]);
        if job.operation == Operation::Followers {
            break;
        }
        tracker.tell(&mut nodes[asked], &job, Finding::InputMissing);
        asked += 1;
    }
    assert_eq!(asked, 256);
}

#[test]
fn what_was_done_before_a_retry_counts_in_how_the_account_ends() {
    let retry = |crawl| {
        let request = RequestId { client: 3, sequence: 1 };
        Mutation::RetryErrors { request, crawl, user: None, limit: 1 }
    };
    for timeline_is_gone in [false, true] {
        let mut tracker = Tracker::new();
        let crawl = tracker.submit(spec("TF"), [1]);
        let mut node = tracker.open(1);
        let job = tracker.take_one(&mut node);
        match timeline_is_gone {
            true => drop(tracker.tell(&mut node, &job, Finding::Gone(GoneReason::Protected))),
            false => tracker.finish(&mut node, &job),
        }
        let job = tracker.take_one(&mut node);
        tracker.tell(&mut node, &job, failed("fault", false));
        assert_eq!(tracker.apply(retry(crawl)), Response::Retried(1));
        let job = tracker.take_one(&mut node);
        assert_eq!(job.operation, Operation::Followers);
        tracker.tell(&mut node, &job, Finding::Gone(GoneReason::NotFound));
        let users = tracker.users(crawl);
        let gone = tracker.state.gone_users(crawl, None, 10).unwrap().pop().unwrap().why;
        let gone: String = gone.iter().map(|gone| gone.operation.letter()).collect();
        match timeline_is_gone {
            true => assert_eq!((users.completed, users.gone, gone.as_str()), (0, 1, "TF")),
            false => assert_eq!((users.completed, users.gone, gone.as_str()), (1, 0, "F")),
        }
    }
}

#[test]
fn a_cursor_is_saved_if_it_fits_a_record_and_not_otherwise() {
    use api::wire::bounds::MAX_CURSOR;
    let mut tracker = Tracker::new();
    tracker.submit(spec("T"), [1]);
    let mut node = tracker.open(1);
    for (length, saved) in
        [(MAX_CURSOR, MAX_CURSOR), (MAX_CURSOR + 1, MAX_CURSOR), (MAX_CURSOR + 9, MAX_CURSOR)]
    {
        let job = tracker.take_one(&mut node);
        let progress = Some(cursor(&"c".repeat(length)));
        tracker.tell(&mut node, &job, Finding::HandedBack { progress });
        let job = tracker.take_one(&mut node);
        assert_eq!(job.progress.as_ref().map(|progress| progress.cursor.len()), Some(saved), "{length}");
        tracker.tell(&mut node, &job, Finding::HandedBack { progress: None });
    }
}
