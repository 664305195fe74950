//! Servers that are away for a while.

use std::time::Duration;

use storage::dataset::{DatasetError, FileKey, TimelineDraft};
use storage::net::hdfs::{Hdfs, HdfsUrl};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use twm_tests::hdfs_server::HdfsServer;

use super::relay::Relay;
use super::{Store, account, finish, lines, shared, short};
use crate::contract::Backend;

fn own_server() -> (Runtime, HdfsServer, Store) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(HdfsServer::start()).unwrap();
    let store = Store::of(runtime.block_on(server.open_with("data", short())).unwrap());
    (runtime, server, store)
}

#[test]
fn a_name_node_that_is_away_loses_no_draft_and_is_named() {
    let (runtime, mut server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    draft.save_point().unwrap();
    draft.push(&4.into(), "{\"id\":4}").unwrap();
    finish(&*node, 2, 6);
    runtime.block_on(server.kill_name_node()).unwrap();
    let begun = Instant::now();
    for error in [draft.save_point().unwrap_err(), node.publish(&key, 2).unwrap_err()] {
        assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
        assert!(error.to_string().contains(&server.address()), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(40), "a call ends by itself");
    runtime.block_on(server.restart_name_node()).unwrap();
    node.publish(&key, 2).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":6}"]);
    let saved = draft.save_point().unwrap();
    assert_eq!(store.node().resume_timeline(&account(), saved, 1, 3).unwrap().items(), 2);
    draft.finish().unwrap();
    store.node().publish(&key, 1).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":5}", "{\"id\":4}"]);
}

#[test]
fn the_lost_answer_of_a_rename_is_decided_by_what_is_recorded() {
    let shared = shared();
    let relay = Relay::start(shared.server.address());
    let url = HdfsUrl::parse(&format!("hdfs://{}/tests/relayed", relay.address)).unwrap();
    let store = Store::of(Hdfs::open(&url, short()).unwrap());
    let (node, other, key) = (store.node(), store.node(), account().timeline());
    finish(&*node, 1, 5);
    // The first file of its folder, so that the rename itself is the first request that succeeds.
    store.hdfs.create_folder("7").unwrap();
    relay.swallow(true);
    let error = node.publish(&key, 1).unwrap_err();
    assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
    relay.swallow(false);
    assert!(other.exists(&key).unwrap(), "the request was carried out");
    let stamp = other.stamp(&key).unwrap();
    node.publish(&key, 1).unwrap();
    other.publish(&key, 1).unwrap();
    assert_eq!(other.stamp(&key).unwrap(), stamp);
    assert_eq!(lines(&*node), ["{\"id\":5}"]);
}

#[test]
fn a_name_node_that_hangs_holds_up_nobody_for_longer_than_the_deadline() {
    let (_runtime, server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    draft.save_point().unwrap();
    server.name_node().freeze().unwrap();
    draft.push(&4.into(), "{\"id\":4}").unwrap();
    let begun = Instant::now();
    assert!(draft.save_point().unwrap_err().is_temporary());
    assert!(node.exists(&key).unwrap_err().is_temporary());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    server.name_node().thaw().unwrap();
    draft.finish().unwrap();
    node.publish(&key, 1).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":5}", "{\"id\":4}"]);
}

#[test]
fn a_datanode_that_dies_in_mid_draft_is_waited_for() {
    let (runtime, mut server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    let first = draft.save_point().unwrap();
    let other = store.node();
    runtime.block_on(server.kill_data_node()).unwrap();
    draft.push(&4.into(), "{\"id\":4}").unwrap();
    let error = draft.save_point().unwrap_err();
    assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
    assert!(error.to_string().contains("dfsadmin -report"), "{error}");
    let error = other.resume_timeline(&account(), first, 1, 2).map(drop).unwrap_err();
    assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
    runtime.block_on(server.restart_data_node()).unwrap();
    let saved = draft.save_point().unwrap();
    for (saved, items) in [(first, 1), (saved, 2)] {
        assert_eq!(other.resume_timeline(&account(), saved, 1, 2).unwrap().items(), items);
    }
    draft.finish().unwrap();
    other.publish(&key, 1).unwrap();
    assert_eq!(lines(&*other), ["{\"id\":5}", "{\"id\":4}"]);
}

#[test]
fn a_datanode_that_hangs_holds_up_nobody_for_longer_than_the_deadline() {
    let (_runtime, server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    draft.save_point().unwrap();
    server.data_node().freeze().unwrap();
    draft.push(&4.into(), "{\"id\":4}").unwrap();
    let begun = Instant::now();
    let error = draft.save_point().unwrap_err();
    assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    server.data_node().thaw().unwrap();
    let mut draft = retry(draft);
    draft.push(&3.into(), "{\"id\":3}").unwrap();
    draft.finish().unwrap();
    node.publish(&key, 1).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":5}", "{\"id\":4}", "{\"id\":3}"]);
}

#[test]
fn a_datanode_that_is_dead_for_long_is_waited_for_as_well() {
    let (runtime, mut server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    finish(&*node, 1, 5);
    node.publish(&key, 1).unwrap();
    node.discard(&key, 1).unwrap();
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    let saved = draft.save_point().unwrap();
    drop(draft);
    runtime.block_on(server.kill_data_node()).unwrap();
    runtime.block_on(server.until_no_data_node()).unwrap();
    // The name node now says that no datanode has the blocks of any file.
    for error in [
        node.newest_post(&account()).unwrap_err(),
        node.resume_timeline(&account(), saved, 2, 3).map(drop).unwrap_err(),
    ] {
        assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
    }
    runtime.block_on(server.restart_data_node()).unwrap();
    // It has reported its blocks a moment after it is back.
    let end = Instant::now() + Duration::from_secs(60);
    let newest = loop {
        match node.newest_post(&account()) {
            Ok(newest) => break newest,
            Err(error) => assert!(error.is_temporary() && Instant::now() < end, "{error}"),
        }
    };
    assert_eq!(newest, Some(5.into()));
    assert_eq!(node.resume_timeline(&account(), saved, 2, 3).unwrap().items(), 1);
}

#[test]
fn a_file_whose_blocks_are_lost_concerns_no_other_file() {
    let (_runtime, server, store) = own_server();
    let (node, key) = (store.node(), account().timeline());
    finish(&*node, 1, 5);
    node.publish(&key, 1).unwrap();
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&9.into(), &format!("{{\"id\":9,\"text\":\"{}\"}}", "x".repeat(500))).unwrap();
    let saved = draft.save_point().unwrap();
    // Ends its writing, after which no block is renamed any more.
    drop(node.resume_timeline(&account(), saved, 2, 3).unwrap());
    server.remove_blocks(|bytes| bytes != store.hdfs.status(".twm-output").unwrap().unwrap().bytes).unwrap();
    let error = node.newest_post(&account()).unwrap_err();
    assert!(!error.is_of_the_place() && !error.is_temporary(), "{error}");
    let error = node.resume_timeline(&account(), saved, 2, 3).map(drop).unwrap_err();
    assert!(matches!(error, DatasetError::DraftMissing { .. }), "it starts over: {error}");
    let other = FileKey::timeline(&8_u64.into());
    let mut draft = node.begin_timeline(&other.account, 4).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    draft.finish().unwrap();
    node.publish(&other, 4).unwrap();
}

/// As a worker does it, until the name node has heard of the datanode again.
fn retry(mut draft: Box<dyn TimelineDraft>) -> Box<dyn TimelineDraft> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match draft.save_point() {
            Ok(_) => return draft,
            Err(error) => assert!(error.is_temporary() && Instant::now() < end, "{error}"),
        }
    }
}
