//! Whose output it is.

use storage::dataset::hdfs::{HdfsDataset, HdfsOutput};
use storage::dataset::{Dataset, DatasetError, Marker, OutputState};

use super::{OWNER, Store, account, finish, lines, shared};
use crate::contract::Backend;

#[test]
fn the_drafts_of_a_former_owner_are_none_of_the_new_one_and_are_never_published() {
    let store = Store::start();
    let old = store.node();
    finish(&*old, 1_000, 1);
    old.publish(&account().timeline(), 1_000).unwrap();
    finish(&*old, 3, 8);
    let mut open = old.begin_timeline(&account(), 4).unwrap();
    open.push(&7.into(), "{\"id\":7}").unwrap();
    open.save_point().unwrap();
    let output = HdfsOutput::new(&store.hdfs);
    assert_eq!(output.look().unwrap(), OutputState::Marked(OWNER));
    let owner = output.replace(Marker { cluster: 77, storage: 78, epoch: 0 }).unwrap();
    assert_eq!(owner, Marker { cluster: 77, storage: 78, epoch: 1 });
    let new = store.node_of(owner);
    assert_eq!(new.drafts().unwrap(), [], "those of the former owner are none of ours");
    finish(&new, 3, 9);
    new.publish(&account().timeline(), 3).unwrap();
    // The former owner looks at the marker once a minute. Before that, it finds its place gone.
    let refused = old.publish(&account().timeline(), 3).unwrap_err();
    assert!(matches!(refused, DatasetError::NotMounted { .. }), "{refused}");
    open.push(&6.into(), "{\"id\":6}").unwrap();
    let refused = open.finish().unwrap_err();
    assert!(matches!(refused, DatasetError::NotMounted { .. }), "{refused}");
    let mut draft = old.begin_timeline(&account(), 2_000).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    draft.save_point().unwrap();
    let refused = draft.finish().unwrap_err();
    assert!(matches!(refused, DatasetError::NotMounted { .. }), "{refused}");
    assert_eq!(lines(&new), ["{\"id\":9}"]);
    assert!(matches!(HdfsDataset::open(store.options(OWNER)), Err(DatasetError::NotMounted { .. })));
    assert_eq!(store.names(".tmp.of-former-owner"), ["0000000000000006-0"], "nothing was removed");
}

#[test]
fn a_former_owner_moves_nothing_of_the_new_one_away() {
    let store = Store::start();
    let output = HdfsOutput::new(&store.hdfs);
    let owner = output.replace(Marker { cluster: 77, storage: 78, epoch: 0 }).unwrap();
    let new = store.node_of(owner);
    finish(&new, 3, 9);
    assert!(HdfsDataset::open(store.options(OWNER)).is_err());
    new.publish(&account().timeline(), 3).unwrap();
    assert_eq!(lines(&new), ["{\"id\":9}"]);
}

#[test]
fn an_output_that_lost_its_marker_gets_an_epoch_above_all_earlier_ones() {
    let store = Store::start();
    let output = HdfsOutput::new(&store.hdfs);
    store.hdfs.delete(".twm-output").unwrap();
    let adopted = output.replace(Marker { cluster: 8, storage: 9, epoch: 0 }).unwrap();
    assert!(adopted.epoch > 1_000_000, "{adopted:?}");
    store.write(".twm-output", b"twm-outp");
    assert!(matches!(output.look(), Err(DatasetError::BadMarker { .. })));
    let again = output.replace(Marker { cluster: 8, storage: 10, epoch: 0 }).unwrap();
    assert!(again.epoch >= adopted.epoch && output.read().unwrap() == Some(again), "{again:?}");
}

#[test]
fn a_cluster_that_continues_another_one_keeps_its_drafts() {
    let store = Store::start();
    finish(&*store.node(), 3, 8);
    let forced = Marker { cluster: 77, ..OWNER };
    let former = store.node();
    HdfsOutput::new(&store.hdfs).put(forced).unwrap();
    assert!(former.drafts().is_err(), "nobody cleans up what belongs to another cluster");
    let new = store.node_of(forced);
    new.publish(&account().timeline(), 3).unwrap();
    assert_eq!(lines(&new), ["{\"id\":8}"]);
}

#[test]
fn of_all_nodes_that_claim_an_output_at_once_one_draws_the_id() {
    let shared = shared();
    let hdfs = shared.runtime.block_on(shared.server.open("claimed/by/all")).unwrap();
    let output = HdfsOutput::new(&hdfs);
    assert_eq!(output.look().unwrap(), OutputState::Empty);
    // Of one that was killed before it gave the marker its name.
    hdfs.create(".twm-output.killed").unwrap().write("twm-out".into()).unwrap();
    assert_eq!(output.look().unwrap(), OutputState::Empty);
    let claimed: Vec<Marker> = std::thread::scope(|scope| {
        let claim = |storage| scope.spawn(move || output.claim(Marker { storage, ..OWNER }).unwrap());
        let threads: Vec<_> = (1..=8).map(claim).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(claimed.iter().all(|marker| *marker == claimed[0]), "{claimed:?}");
    assert_eq!(output.look().unwrap(), OutputState::Marked(claimed[0]));
    hdfs.delete("").unwrap();
}

#[test]
fn of_all_nodes_that_replace_an_owner_at_once_one_succeeds() {
    let store = Store::start();
    let output = HdfsOutput::new(&store.hdfs);
    let replaced: Vec<Result<Marker, DatasetError>> = std::thread::scope(|scope| {
        let replace = |storage| scope.spawn(move || output.replace(Marker { cluster: 9, storage, epoch: 0 }));
        let threads: Vec<_> = (11..=14).map(replace).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won: Vec<_> = replaced.iter().flatten().collect();
    let effective = output.read().unwrap().unwrap();
    assert!(won.contains(&&effective), "{replaced:?} {effective:?}");
    assert!(won.iter().filter(|marker| marker.epoch == 1).count() <= 1, "{replaced:?}");
}
