//! Budgets, failures and damage.

use api::model::Operation;
use axum::http::StatusCode;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, tweets};
use super::tracker::LocalTracker;

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_sends_jobs_back_and_no_request_is_too_many() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let users: Vec<u64> = (11..=14).collect();
    users.iter().for_each(|&user| api.account(user, 8, []));
    // Four walks of four requests each, and a budget of twelve per four seconds.
    api.budget(12, 4);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let view = tracker.finished(tracker.submit("T", &users)).await;
    assert_eq!(api.violations(), 0);
    assert_eq!(view.counters.users.completed, 4);
    users.iter().for_each(|&user| assert_eq!(folder.timeline(user), tweets(user, 8)));
    let asked: usize = users.iter().map(|&user| api.cursors("timeline", user).len()).sum();
    assert_eq!(asked, 16, "walks continued where they were");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_always_fails_ends_in_the_error_list_and_holds_nobody_up() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    api.account(8, 5, []);
    api.answer_with("timeline", 7, StatusCode::INTERNAL_SERVER_ERROR);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7, 8]);
    let view = tracker.finished(crawl).await;
    assert_eq!((view.counters.users.completed, view.counters.users.failed), (1, 1));
    let errors = tracker.errors(crawl);
    let failure = &errors[0].why[0];
    assert_eq!((failure.attempts, failure.operation), (2, Operation::Timeline));
    assert!(failure.reason.contains("status 500") && failure.reason.contains("user 7"), "{}", failure.reason);
    assert_eq!(api.cursors("timeline", 7).len(), 2, "one request an attempt");

    api.answer_well();
    let request = api::model::RequestId { client: 9, sequence: 1 };
    tracker.apply(raft::command::Mutation::RetryErrors { request, crawl, user: None, limit: 10 });
    eventually("the retried account", || tracker.crawl(crawl).counters.users.completed == 2).await;
    assert_eq!(folder.timeline(7), tweets(7, 5));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_does_not_compile_fails_its_jobs_with_its_message() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 1, [21]);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit_with("FA", &[7], api::model::Traversal::Default, Some("user.lang =="));
    let view = tracker.finished(crawl).await;
    assert_eq!(view.counters.users.failed, 1);
    let failure = &tracker.errors(crawl)[0].why[0];
    assert_eq!((failure.attempts, failure.operation), (1, Operation::Analysis));
    assert!(failure.reason.contains("follow rule"), "{}", failure.reason);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_that_fails_is_repeated_until_it_works() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    let obstacle = folder.output().join("7/7.twt");
    std::fs::create_dir_all(obstacle.join("x")).unwrap();
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    let mut view = rig.view.clone();
    view.wait_for(|view| view.publishing == 1 && view.busy == 0).await.unwrap();
    assert_eq!(tracker.crawl(crawl).counters.users.completed, 0);
    std::fs::remove_dir_all(&obstacle).unwrap();
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 5));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_session_publishes_what_a_crash_left() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    let obstacle = folder.output().join("7/7.twt");
    std::fs::create_dir_all(obstacle.join("x")).unwrap();
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    rig.view.clone().wait_for(|view| view.publishing == 1 && view.busy == 0).await.unwrap();
    rig.crash();
    std::fs::remove_dir_all(&obstacle).unwrap();
    let asked = api.cursors("timeline", 7).len();

    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 5));
    assert_eq!(api.cursors("timeline", 7).len(), asked, "nothing was fetched again");
    rig.stop().await;
    // The proof of the publication is removed in the background.
    eventually("no draft is left", || folder.drafts() == 0).await;
}
