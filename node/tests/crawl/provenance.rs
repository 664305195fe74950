//! What is recorded of published files, and where the records go.

use std::collections::BTreeSet;
use std::fs;

use axum::http::StatusCode;
use raft::command::Mutation;
use storage::dataset::provenance::{Distinct, Extent, LEFT_OUT, Record};
use storage::env::{Clock, SystemClock};

use super::api::Api;
use super::rig::{Folder, LIMITS, Rig, eventually, files};
use super::tracker::LocalTracker;

/// The files and leases of records.
fn published(records: &[Record]) -> Vec<(String, u64)> {
    let mut named: Vec<_> = records.iter().map(|r| (r.key.to_string(), r.lease)).collect();
    named.sort();
    named
}

/// Each publication once, as readers see it.
fn distinct(records: Vec<Record>) -> Vec<Record> {
    let mut distinct = Distinct::default();
    let mut taken: Vec<Record> = records.into_iter().filter_map(|record| distinct.take(record)).collect();
    taken.extend(distinct.rest());
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn each_published_file_is_recorded_once_with_what_is_known_of_it() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    let before = SystemClock::new().wall();
    (7..=9).for_each(|user| api.account(user, 10 + user, [21, 22]));
    api.account(10, 0, []);
    api.account(11, 5, []);
    api.answer_with("timeline", 11, StatusCode::UNAUTHORIZED);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("TF", &[7, 8, 9, 10, 11]);
    tracker.finished(crawl).await;
    api.account(7, 30, [21, 22]);
    let update = tracker.submit("U", &[7, 8]);
    tracker.finished(update).await;
    rig.stop().await;

    let records = folder.records();
    assert_eq!(records.len(), 7, "{records:?}");
    let leases: BTreeSet<u64> = records.iter().map(|record| record.lease).collect();
    assert_eq!(leases.len(), 7);
    let of = |user: u64, operation: char| {
        let found: Vec<&Record> = records
            .iter()
            .filter(|r| r.key.account.user == user.into() && r.operation == operation)
            .collect();
        let [record] = found[..] else { panic!("{operation} of {user}: {found:?}") };
        record
    };
    for (user, operation, crawl, items) in
        [(7, 'T', crawl, 17), (8, 'T', crawl, 18), (9, 'F', crawl, 2), (7, 'U', update, 13)]
    {
        let record = of(user, operation);
        assert_eq!((record.crawl, record.items), (Some(crawl.0), Some(items)), "{record:?}");
        assert_eq!((record.node, record.epoch, record.extent.clone()), (1, 0, Some(Extent::default())));
        let (begun, ended) = (record.begun.unwrap(), record.ended.unwrap());
        assert!(begun.as_secs() >= before.as_secs() && begun <= ended && ended <= record.published);
        assert!(record.published <= SystemClock::new().wall());
    }
    assert!(files(&folder.provenance()).is_empty(), "nothing waits after a stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_work_appends_what_it_has() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, [21]);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("TF", &[7])).await;
    eventually("a batch in the dataset", || folder.records().len() == 2).await;
    eventually("an empty spool", || files(&folder.provenance()).is_empty()).await;
    rig.stop().await;
    assert_eq!(folder.records().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_a_killed_node_are_appended_by_the_next_one() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    (1..=9).for_each(|user| api.account(user, 10, [21, 22]));
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("TF", &[1, 2, 3, 4, 5, 6, 7, 8, 9])).await;
    rig.crash();
    assert_eq!(folder.records(), [], "the node had not yet appended them");
    tracker.end_sessions(false);
    let rig = Rig::start(&api, &tracker, &folder).await;
    eventually("the records of the node before", || folder.records().len() == 18).await;
    tracker.finished(tracker.submit("U", &[1])).await;
    rig.stop().await;
    let records = folder.records();
    assert_eq!(published(&records).len(), distinct(records.clone()).len());
    assert!(records.iter().all(Record::is_full), "{records:?}");
}

/// Killed after it has written a batch, before it has removed the records from its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_writer_did_not_learn_of_it_is_there_once() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, [21]);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("TF", &[7])).await;
    let waiting = files(&folder.provenance());
    let kept: Vec<_> = waiting.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    assert!(!kept.is_empty());
    rig.stop().await;
    let records = folder.records();
    assert_eq!(records.len(), 2);
    kept.iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
    let rig = Rig::start(&api, &tracker, &folder).await;
    eventually("an empty spool", || files(&folder.provenance()).is_empty()).await;
    rig.stop().await;
    assert_eq!(folder.records(), records);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_recorded_of_what_was_not_published() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 14, []);
    api.account(8, 2, []);
    api.gate("timeline", 7, 3);
    let rig = Rig::start(&api, &tracker, &folder).await;
    let crawl = tracker.submit("T", &[7]);
    api.asked("timeline", 7, 3).await;
    tracker.apply(Mutation::CancelCrawl { crawl });
    api.open_gate();
    tracker.finished(tracker.submit("T", &[8])).await;
    rig.stop().await;
    let records = folder.records();
    assert_eq!(published(&records).iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), ["8.twt"]);
}

/// TWM-P2: a node that was killed there must not leave a file without a record.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_is_confirmed_only_when_it_is_recorded() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, []);
    api.account(8, 10, []);
    let rig = Rig::start(&api, &tracker, &folder).await;
    // The disk takes no records: their folder is none.
    fs::remove_dir_all(folder.provenance()).unwrap();
    fs::write(folder.provenance(), "").unwrap();
    let crawl = tracker.submit("T", &[7]);
    eventually("the file", || folder.has_timeline(7)).await;
    // A later job is reported, and the publication is not.
    let later = tracker.submit("T", &[8]);
    eventually("the other file", || folder.has_timeline(8)).await;
    assert_eq!(tracker.crawl(crawl).counters.users.completed, 0);
    rig.crash();
    fs::remove_file(folder.provenance()).unwrap();
    tracker.end_sessions(false);

    // The next process knows nothing of the draft but what the cluster does.
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(crawl).await;
    tracker.finished(later).await;
    rig.stop().await;
    let mut records = folder.records();
    records.sort_by(|a, b| a.key.cmp(&b.key));
    for (record, (file, crawl)) in records.iter().zip([("7.twt", crawl), ("8.twt", later)]) {
        let known = (record.key.to_string(), record.crawl, record.items);
        assert_eq!(known, (file.to_owned(), Some(crawl.0), Some(10)));
        assert_eq!((record.begun, record.ended, &record.extent), (None, None, &None));
    }
    assert_eq!(records.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_on_disk_while_the_dataset_takes_none() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    (1..=3).for_each(|user| api.account(user, 10, []));
    fs::create_dir_all(folder.output()).unwrap();
    let blocked = folder.output().join(".provenance");
    fs::write(&blocked, "").unwrap();
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("T", &[1, 2])).await;
    rig.stop().await;
    assert!(!files(&folder.provenance()).is_empty());
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("T", &[3])).await;
    fs::remove_file(&blocked).unwrap();
    eventually("all records", || folder.records().len() == 3).await;
    rig.stop().await;
    assert_eq!(distinct(folder.records()).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lacks_garbled_items_is_cut_short() {
    let (api, tracker, folder) = (Api::start().await, LocalTracker::new(LIMITS), Folder::new());
    api.account(7, 10, [21]);
    api.garble(7);
    let rig = Rig::start(&api, &tracker, &folder).await;
    tracker.finished(tracker.submit("TF", &[7])).await;
    rig.stop().await;
    for record in folder.records() {
        let expected: &[&str] = if record.operation == 'T' { &[LEFT_OUT] } else { &[] };
        assert_eq!(record.extent.unwrap().cut_short, expected);
    }
}
