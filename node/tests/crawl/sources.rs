//! Several sources in one node.

use storage::dataset::{Account, Dataset};
use storage::ids::UserId;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, tweets};
use super::tracker::LocalTracker;

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_two_sources_are_crawled_side_by_side_into_folders_of_their_own() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, 20..=40);
    let (default, other) = (tracker.submit("TF", &[7]), tracker.submit_other("TFA", &[7]));
    let rig = Rig::start(&api, &tracker, &folder).await;
    for crawl in [default, other] {
        assert_eq!(tracker.finished(crawl).await.counters.users.completed, 1);
    }
    assert_eq!((folder.timeline(7), folder.followers(7).len()), (tweets(7, 10), 21));
    let account = Account { source: "other".parse().unwrap(), user: UserId::Number(7) };
    let dataset = folder.dataset();
    assert_eq!(dataset.open_timeline(&account).unwrap().into_iter().flatten().count(), 10);
    assert_eq!(dataset.open_followers(&account).unwrap().into_iter().flatten().count(), 21);
    let profiles = dataset.open_profiles(&account).unwrap().into_iter().flatten();
    let sources = profiles.map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
    let sources: Vec<_> = sources.map(|line| line["source"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sources, vec!["other"; 19], "29 and 39 are suspended");
    assert!(folder.output().join("other/7/7.twt").exists() && !folder.output().join("7/7.prf").exists());
    rig.stop().await;
    assert_eq!(tracker.sessions(), 0);
    eventually("no draft to be left", || folder.drafts() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_source_that_no_node_has_wait_and_hold_up_nobody() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, 20..=40);
    let (nobodys, default) = (tracker.submit_from("nobodys", "T", &[7]), tracker.submit("T", &[7]));
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(default).await;
    let view = tracker.crawl(nobodys);
    assert_eq!((view.queued, view.leased, view.counters.users.completed), (1, 0, 0));
    rig.stop().await;
}
