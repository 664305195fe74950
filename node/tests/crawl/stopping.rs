//! Nodes that stop and restart.

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, tweets};
use super::tracker::LocalTracker;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_handed_back_in_mid_walk_goes_on_where_it_was() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 14, []);
    api.gate("timeline", 7, 3);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 3).await;
    rig.stop().await;
    assert_eq!((tracker.sessions(), tracker.crawl(crawl).ready), (0, 1));
    assert_eq!(folder.drafts(), 1, "the draft stays for the worker that continues");
    assert!(!folder.has_timeline(7));

    api.open_gate();
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 14));
    let cursors = api.cursors("timeline", 7);
    assert_eq!(cursors.iter().filter(|c| c.is_empty()).count(), 1, "one beginning: {cursors:?}");
    assert_eq!(cursors[2], cursors[3], "the request that was given up is made again: {cursors:?}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_a_crashed_node_runs_again_and_its_file_has_each_item_once() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 14, 101..=120);
    api.gate("followers", 7, 4);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("TF", &[7]);
    api.asked("followers", 7, 4).await;
    rig.crash();
    api.open_gate();
    assert_eq!(folder.drafts(), 1);

    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 14));
    assert_eq!(folder.followers(7), (101..=120).collect::<Vec<_>>());
    eventually("the dead worker's draft to be removed", || folder.drafts() == 0).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_jobs_stops_at_once_and_ends_its_session() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let rig = Rig::start(&api, &tracker, &folder).await;
    rig.view.clone().wait_for(|view| view.open && view.reports > 0).await.unwrap();
    assert_eq!(tracker.sessions(), 1);
    rig.stop().await;
    assert_eq!(tracker.sessions(), 0);
}
