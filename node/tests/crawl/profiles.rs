//! The profiles that analyses look up are kept.

use api::model::Operation;
use storage::dataset::open_profiles;

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually};
use super::tracker::LocalTracker;

/// The crawl and the account of each line of an account's file of profiles.
fn profiles(folder: &Folder, user: u64) -> Vec<(u64, u64)> {
    let path = folder.output().join(format!("{user}/{user}.prf"));
    let lines = open_profiles(&path).unwrap().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let entry = |line: serde_json::Value| {
        assert_eq!(line["source"], "twitter");
        assert!(line["at"].as_str().unwrap().ends_with('Z'), "{line}");
        (line["crawl"].as_u64().unwrap(), line["profile"]["id"].as_u64().unwrap())
    };
    lines.map(entry).collect()
}

/// Those of these accounts that are not suspended.
fn found(crawl: api::model::CrawlId, followers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    followers.filter(|id| id % 10 != 9).map(|id| (crawl.0, id)).collect()
}

fn looked_up(tracker: &LocalTracker, crawl: api::model::CrawlId) -> u64 {
    tracker.crawl(crawl).counters.operations[Operation::Analysis.index()].items
}

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_is_kept_with_those_of_earlier_analyses() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, 101..=350);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let first = tracker.submit("FA", &[7]);
    tracker.finished(first).await;
    assert_eq!(profiles(&folder, 7), found(first, 101..=350));
    assert_eq!(looked_up(&tracker, first), 225);
    let second = tracker.submit("A", &[7]);
    tracker.finished(second).await;
    let both = [found(second, 101..=350), found(first, 101..=350)].concat();
    assert_eq!(profiles(&folder, 7), both, "the newest analysis comes first");
    // An analysis that looks nothing up leaves the file as it is.
    api.account(8, 0, [101, 102]);
    let known = tracker.submit("FA", &[8, 101, 102]);
    tracker.finished(known).await;
    assert!(!folder.output().join("8/8.prf").exists());
    rig.stop().await;
    eventually("no draft to be left", || folder.drafts() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_the_api_repeats_is_kept_once_and_one_nobody_asked_for_is_not() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, 101..=350);
    api.double_profiles();
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("FA", &[7]);
    tracker.finished(crawl).await;
    assert_eq!(profiles(&folder, 7), found(crawl, 101..=350));
    assert_eq!(looked_up(&tracker, crawl), 225);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_that_is_handed_back_keeps_what_it_has_looked_up() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, 101..=450);
    api.gate("lookup", 0, 3);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("FA", &[7]);
    api.asked("lookup", 0, 3).await;
    rig.stop().await;
    assert_eq!((tracker.sessions(), folder.drafts()), (0, 1));
    assert_eq!(tracker.crawl(crawl).counters.discovered, 200, "what was looked up is reported");
    api.open_gate();
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(profiles(&folder, 7), found(crawl, 101..=450));
    assert_eq!((looked_up(&tracker, crawl), api.cursors("lookup", 0).len()), (315, 5));
    eventually("the first worker's draft to be removed", || folder.drafts() == 0).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_analysis_of_a_crashed_node_has_each_profile_once() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, 101..=1_300);
    api.gate("lookup", 0, 8);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("FA", &[7]);
    api.asked("lookup", 0, 8).await;
    eventually("a group to be reported", || tracker.crawl(crawl).counters.discovered >= 500).await;
    rig.crash();
    api.open_gate();
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    assert_eq!(profiles(&folder, 7), found(crawl, 101..=1_300));
    assert_eq!(looked_up(&tracker, crawl), 1_080);
    eventually("the dead worker's draft to be removed", || folder.drafts() == 0).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_file_of_profiles_is_set_aside_and_begun_again() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 0, [21, 22]);
    std::fs::create_dir_all(folder.output().join("7")).unwrap();
    std::fs::write(folder.output().join("7/7.prf"), b"\x1f\x8b\x08garbage").unwrap();
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("FA", &[7]);
    tracker.finished(crawl).await;
    assert_eq!(profiles(&folder, 7), found(crawl, 21..=22));
    let aside = std::fs::read(folder.output().join("7/7.prf.unreadable")).unwrap();
    assert_eq!(aside, b"\x1f\x8b\x08garbage");
    rig.stop().await;
}
