//! Output and findings of each operation.

use api::model::{Finding, OpenSession, Operation, Report, Response, StorageId, Traversal, Wants};
use axum::http::StatusCode;
use raft::command::Mutation;
use storage::dataset::SourceName;
use storage::ids::UserId;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, tweets};
use super::tracker::LocalTracker;

#[tokio::test(flavor = "multi_thread")]
async fn timelines_followers_and_the_analysis_of_one_account() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let followers: Vec<u64> = (20..=40).rev().collect();
    api.account(7, 10, followers.clone());
    let crawl = tracker.submit_with("TFA", &[7], Traversal::Default, Some("user.lang == 'it'"));
    let rig = Rig::start(&api, &tracker, &folder).await;
    let view = tracker.finished(crawl).await;

    assert_eq!(folder.timeline(7), tweets(7, 10));
    assert_eq!(folder.followers(7), followers);
    // The profiles of odd ids are Italian; 29 and 39 are suspended.
    let admitted: Vec<u64> = followers.iter().copied().filter(|id| id % 2 == 1 && id % 10 != 9).collect();
    assert_eq!(tracker.frontier(crawl), admitted.iter().copied().map(UserId::from).collect::<Vec<_>>());
    assert_eq!((view.counters.discovered, view.counters.admitted), (21, admitted.len() as u64));
    let items = |operation: Operation| view.counters.operations[operation.index()].items;
    assert_eq!(
        (items(Operation::Timeline), items(Operation::Followers), items(Operation::Analysis)),
        (10, 21, 19)
    );
    assert_eq!(view.counters.users.completed, 1);

    let counters = rig.crawler.as_ref().unwrap().counters();
    assert_eq!((counters.tweets(), counters.followers(), counters.profiles()), (10, 21, 19));
    rig.stop().await;
    assert_eq!(tracker.sessions(), 0);
    eventually("no draft to be left", || folder.drafts() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_puts_new_tweets_in_front_and_asks_for_those_only() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let first = tracker.submit("T", &[7]);
    tracker.finished(first).await;
    let asked = api.cursors("timeline", 7).len();

    let nothing_new = tracker.finished(tracker.submit("U", &[7])).await;
    assert_eq!(nothing_new.counters.operations[Operation::Update.index()].items, 0);
    assert_eq!(api.cursors("timeline", 7).len(), asked + 1);

    api.account(7, 12, []);
    let update = tracker.finished(tracker.submit("U", &[7])).await;
    assert_eq!(update.counters.operations[Operation::Update.index()].items, 7);
    assert_eq!(folder.timeline(7), tweets(7, 12));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_or_analysis_without_its_file_makes_the_file_first() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 4, [21, 22]);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let update = tracker.finished(tracker.submit("U", &[7])).await;
    assert_eq!(update.counters.users.completed, 1);
    assert_eq!(folder.timeline(7), tweets(7, 4));
    let crawl = tracker.submit("A", &[7]);
    tracker.finished(crawl).await;
    assert_eq!(folder.followers(7), [21, 22]);
    assert_eq!(tracker.frontier(crawl).len(), 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_is_set_aside_and_made_again() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 4, [21, 22]);
    let damaged = folder.output().join("7");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join("7.twt"), b"\x1f\x8b\x08garbage").unwrap();
    std::fs::write(damaged.join("7.fws"), b"\x1f\x8b\x08garbage").unwrap();
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("U", &[7])).await;
    let crawl = tracker.submit("A", &[7]);
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 4));
    assert_eq!(folder.followers(7), [21, 22]);
    for name in ["7.twt.unreadable", "7.fws.unreadable"] {
        assert_eq!(std::fs::read(damaged.join(name)).unwrap(), b"\x1f\x8b\x08garbage");
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_tweets_has_no_file() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let view = tracker.finished(tracker.submit("TF", &[7])).await;
    assert_eq!(view.counters.users.completed, 1);
    rig.stop().await;
    assert!(super::rig::files(&folder.output()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_404_on_the_timeline_does_not_drop_the_followers() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, [21, 22]);
    api.account(8, 5, [31]);
    api.answer_with("timeline", 7, StatusCode::NOT_FOUND);
    for endpoint in ["timeline", "followers"] {
        api.answer_with(endpoint, 8, StatusCode::UNAUTHORIZED);
    }
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("TFA", &[7, 8]);
    let view = tracker.finished(crawl).await;
    assert_eq!((view.counters.users.completed, view.counters.users.gone), (1, 1));
    assert_eq!(folder.followers(7), [21, 22]);
    assert_eq!(tracker.frontier(crawl).len(), 2);
    let reasons: Vec<_> =
        tracker.gone(crawl).iter().flat_map(|g| g.why.clone()).map(|g| g.reason.name()).collect();
    assert!(reasons.contains(&"protected"), "{reasons:?}");
    rig.stop().await;
    eventually("no draft to be left", || folder.drafts() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breadth_first_crawl_goes_on_with_those_it_finds() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(1, 2, [3, 5]);
    api.account(3, 2, [5, 1]);
    api.account(5, 2, [1, 9]);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit_with("TFA", &[1], Traversal::Bfs, Some("user.lang == 'it'"));
    let view = tracker.finished(crawl).await;
    assert_eq!(view.counters.users.completed, 3);
    for user in [1, 3, 5] {
        assert_eq!(folder.timeline(user), tweets(user, 2));
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn screen_names_are_resolved_a_hundred_at_a_time() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let rig = Rig::start(&api, &tracker, &folder).await;
    let names: Vec<String> = (1..=150).map(|n| format!("u{n}")).collect();
    let found = rig.crawler.as_ref().unwrap().resolve(&SourceName::default(), &names).await.unwrap();
    assert_eq!(found[..2], [("u1".to_owned(), UserId::from(1)), ("u2".to_owned(), UserId::from(2))]);
    assert_eq!(found.len(), 135, "those that are suspended are missing");
    assert_eq!(api.cursors("lookup", 0).len(), 2);
    rig.stop().await;
}

/// The first update is stopped in the middle of its walk, the second extends the file, and the first resumes.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waited_loses_nothing_of_a_file_that_was_brought_further_meanwhile() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("T", &[7])).await;
    let asked = api.cursors("timeline", 7).len();
    api.account(7, 45, []);
    api.gate("timeline", 7, asked + 4);
    let first = tracker.submit("U", &[7]);
    api.asked("timeline", 7, asked + 4).await;
    // The node stops: the state of the walk is saved, and the job waits.
    let stopped = tokio::spawn(rig.stop());
    api.open_gate();
    stopped.await.unwrap();
    tracker.apply(Mutation::PauseCrawl { crawl: first });

    api.account(7, 60, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("U", &[7])).await;
    assert_eq!(folder.timeline(7), tweets(7, 60));
    tracker.apply(Mutation::ResumeCrawl { crawl: first });
    tracker.finished(first).await;
    assert_eq!(folder.timeline(7), tweets(7, 60));
    rig.stop().await;
}

/// The same with a walk that would replace the whole file with its older data.
#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_that_waited_does_not_replace_a_newer_one() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 45, []);
    api.gate("timeline", 7, 4);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let first = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 4).await;
    let stopped = tokio::spawn(rig.stop());
    api.open_gate();
    stopped.await.unwrap();
    tracker.apply(Mutation::PauseCrawl { crawl: first });

    api.account(7, 60, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("T", &[7])).await;
    assert_eq!(folder.timeline(7), tweets(7, 60));
    tracker.apply(Mutation::ResumeCrawl { crawl: first });
    tracker.finished(first).await;
    assert_eq!(folder.timeline(7), tweets(7, 60));
    rig.stop().await;
}

/// The draft of a completed job is no longer on the disk when it is to be published.
#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_was_lost_before_its_publication_is_fetched_again() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 5, []);
    let crawl = tracker.submit("T", &[7]);
    let open = OpenSession {
        node: 1,
        incarnation: 9,
        storage: StorageId(1),
        workers: 1,
        shared: false,
        adopt: false,
    };
    let Response::SessionOpened(opened) = tracker.apply(Mutation::OpenSession(open)) else { panic!() };
    let report = |sequence, findings, wants| {
        Mutation::Report(Report { session: opened.session, sequence, findings, wants })
    };
    let Response::Report(answer) = tracker.apply(report(1, Vec::new(), Wants::any(1))) else { panic!() };
    let job = &answer.granted[0];
    let done = (job.id, job.lease, Finding::Completed { file: true, items: 5 });
    tracker.apply(report(2, vec![done], Wants::NONE));

    let rig = Rig::start(&api, &tracker, &folder).await;
    let view = tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 5));
    let timeline = view.counters.operations[Operation::Timeline.index()];
    assert_eq!((view.counters.users.completed, timeline.retried), (1, 1));
    eventually("the proof of the publication to be removed", || folder.drafts() == 0).await;
    rig.stop().await;
}
