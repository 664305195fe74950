//! Fault 2 of the original: a worker writes its file and dies before it reports it.

use std::fs;
use std::sync::atomic::Ordering;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, files, tweets};
use super::tracker::LocalTracker;

/// Releases the held request while the tracker does not answer, and crashes the node once the whole file is written.
async fn die_between_writing_and_reporting(api: &Api, tracker: &LocalTracker, folder: &Folder, rig: Rig) {
    tracker.silent.store(true, Ordering::SeqCst);
    api.open_gate();
    // A draft stays empty until it is whole: both walks end before a save point is due.
    let whole =
        || files(&folder.output()).iter().any(|file| fs::metadata(file).is_ok_and(|found| found.len() > 0));
    eventually("the draft to be written", whole).await;
    rig.crash();
    tracker.silent.store(false, Ordering::SeqCst);
    assert_eq!(folder.drafts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_2_followers_written_and_not_reported_are_not_doubled() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, 101..=106);
    api.gate("followers", 7, 2);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("F", &[7]);
    api.asked("followers", 7, 2).await;
    die_between_writing_and_reporting(&api, &tracker, &folder, rig).await;
    assert!(folder.followers(7).is_empty(), "nothing is published before it was reported");

    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(folder.followers(7), (101..=106).collect::<Vec<_>>());
    eventually("the dead worker's draft to be removed", || folder.drafts() == 0).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_2_a_timeline_of_one_tweet_written_and_not_reported_is_not_doubled() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 1, []);
    api.gate("timeline", 7, 2);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 2).await;
    die_between_writing_and_reporting(&api, &tracker, &folder, rig).await;
    assert!(!folder.has_timeline(7), "nothing is published before it was reported");

    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), tweets(7, 1));
    eventually("the dead worker's draft to be removed", || folder.drafts() == 0).await;
    // A later update does not double it either.
    tracker.finished(tracker.submit("U", &[7])).await;
    assert_eq!(folder.timeline(7), tweets(7, 1));
    rig.stop().await;
}
