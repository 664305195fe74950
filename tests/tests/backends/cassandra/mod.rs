//! In a keyspace of a real server.

mod faults;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::dataset::cassandra::{
    CassandraDataset, CassandraDatasetOptions, CassandraStore, KeyspaceOutput, KeyspaceStore,
};
use storage::dataset::store::{Rewritable as _, Store as _};
use storage::dataset::{Account, Dataset, DatasetError, FileKey, Marker, OutputState};
use storage::env::SystemClock;
use storage::ids::UserId;
use storage::net::cassandra::{CassandraUrl, Keyspace};
use tempfile::TempDir;
use twm_tests::cassandra_server::SharedCassandra;

use super::contract::Backend;
use super::tools::Served;
use super::{keeps_the_contract, tools_take_it};

const OWNER: Marker = Marker { cluster: 5, storage: 6, epoch: 0 };

/// A keyspace, and the spools of the nodes.
struct Store {
    shared: Arc<SharedCassandra>,
    url: CassandraUrl,
    spools: Spools,
    store: CassandraStore,
}

impl Store {
    fn start() -> Self {
        let shared = SharedCassandra::get().unwrap();
        let keyspace = shared.free_keyspace();
        let store = shared.server().create(&keyspace).unwrap();
        let url = shared.server().url(&keyspace).unwrap();
        assert_eq!(KeyspaceOutput::new(&store).claim(OWNER).unwrap(), OWNER);
        Self { shared, url, spools: Spools::new(), store }
    }

    fn node_of(&self, owner: Marker) -> CassandraDataset {
        self.spools.node(&self.store, owner)
    }

    fn tools(&self) -> KeyspaceStore {
        KeyspaceStore::new(self.store.clone(), Arc::new(SystemClock::new()))
    }

    fn keyspace(&self) -> Keyspace {
        Keyspace::connect(&self.url, &self.shared.server().options()).unwrap()
    }

    /// The versions of files that have blocks, and those that a head or a file that was set aside names.
    fn versions(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let keyspace = self.keyspace();
        let of_table = |table: &str| {
            let cql = format!("SELECT CAST(version AS text) FROM {}.{table}", keyspace.name());
            let rows: Vec<(Option<String>,)> =
                keyspace.rows("look", &keyspace.prepare(&cql).unwrap(), ()).unwrap();
            rows.into_iter().filter_map(|(version,)| version).collect()
        };
        (of_table("blocks"), of_table("files"))
    }
}

struct Spools {
    folder: TempDir,
    nodes: AtomicU64,
}

impl Spools {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), nodes: AtomicU64::new(0) }
    }

    fn options(&self, store: &CassandraStore, owner: Marker) -> CassandraDatasetOptions {
        let spool = self.folder.path().join(self.nodes.fetch_add(1, Ordering::Relaxed).to_string());
        CassandraDatasetOptions::new(store.clone(), spool, owner, Arc::new(SystemClock::new()))
    }

    fn node(&self, store: &CassandraStore, owner: Marker) -> CassandraDataset {
        CassandraDataset::open(self.options(store, owner)).unwrap()
    }
}

impl Backend for Store {
    fn node(&self) -> Box<dyn Dataset> {
        Box::new(self.node_of(OWNER))
    }

    fn put(&self, key: &FileKey, bytes: &[u8]) {
        let (folder, tools) = (TempDir::new().unwrap(), self.tools());
        let file = folder.path().join("file");
        fs::write(&file, bytes).unwrap();
        match tools.find(key).unwrap() {
            Some(found) => tools.replace(&found, &file).unwrap(),
            None => assert!(tools.create(key, &file).unwrap()),
        }
    }

    fn store(&self) -> Box<dyn storage::dataset::store::Store> {
        Box::new(self.tools())
    }
}

impl Served for Store {
    fn url(&self) -> String {
        self.store.place()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

keeps_the_contract!(Store::start());
tools_take_it!(Store::start());

fn account() -> Account {
    UserId::Number(7).into()
}

fn finish(node: &dyn Dataset, lease: u64, id: u64) {
    let mut draft = node.begin_timeline(&account(), lease).unwrap();
    draft.push(&id.into(), &format!("{{\"id\":{id}}}")).unwrap();
    draft.finish().unwrap();
}

fn update(node: &dyn Dataset, lease: u64, id: u64) {
    let mut draft = node.begin_timeline(&account(), lease).unwrap();
    draft.push(&id.into(), &format!("{{\"id\":{id}}}")).unwrap();
    draft.append_existing().unwrap();
    draft.finish().unwrap();
}

fn lines(node: &dyn Dataset) -> Vec<String> {
    node.open_timeline(&account()).unwrap().unwrap().map(Result::unwrap).collect()
}

/// A page of incompressible posts of a kilobyte, newest first.
fn post(id: u64) -> String {
    let mut noise = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut digit = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        char::from(b'0' + (noise >> 33) as u8 % 64)
    };
    let text: String = (0..1_000).map(|_| digit()).filter(|c| *c != '\\' && *c != '"').collect();
    format!("{{\"id\":{id},\"text\":\"{text}\"}}")
}

#[test]
fn a_frozen_publisher_that_wakes_up_replaces_no_later_file() {
    let store = Store::start();
    let (frozen, node) = (store.node(), store.node());
    finish(&*frozen, 5, 1);
    finish(&*node, 9, 2);
    node.publish(&account().timeline(), 9).unwrap();
    node.discard(&account().timeline(), 9).unwrap();
    // Its completion was accepted, and published by another node before lease 9 was granted.
    frozen.publish(&account().timeline(), 5).unwrap();
    assert_eq!(frozen.newest_post(&account()).unwrap(), Some(2.into()));
    frozen.publish(&account().timeline(), 5).unwrap();
    frozen.discard(&account().timeline(), 5).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":2}"]);
    let (with_blocks, named) = store.versions();
    assert_eq!(with_blocks, named, "the blocks of the refused draft are deleted");
}

#[test]
fn a_frozen_cleanup_that_wakes_up_deletes_nothing_that_is_published() {
    let store = Store::start();
    let (writer, cleanup) = (store.node(), store.node());
    let key = account().timeline();
    finish(&*writer, 5, 1);
    assert_eq!(cleanup.drafts().unwrap(), [(key.clone(), 5)]);
    writer.publish(&key, 5).unwrap();
    // It has seen the draft before it was published.
    cleanup.discard(&key, 5).unwrap();
    assert_eq!(lines(&*cleanup), ["{\"id\":1}"]);
    assert_eq!(cleanup.drafts().unwrap(), []);
    writer.publish(&key, 5).unwrap();
    // Nor what was set aside.
    finish(&*writer, 6, 2);
    writer.publish(&key, 6).unwrap();
    assert!(cleanup.set_aside(&key, cleanup.stamp(&key).unwrap()).unwrap().is_some());
    cleanup.discard(&key, 6).unwrap();
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks.is_subset(&named)), (1, true), "{with_blocks:?} {named:?}");
}

#[test]
fn a_writer_that_wakes_up_after_its_draft_was_discarded_leaves_nothing() {
    let store = Store::start();
    let (frozen, cleanup) = (store.node(), store.node());
    let mut draft = frozen.begin_timeline(&account(), 5).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    draft.save_point().unwrap();
    cleanup.discard(&account().timeline(), 5).unwrap();
    draft.push(&8.into(), "{\"id\":8}").unwrap();
    draft.save_point().unwrap();
    draft.finish().unwrap();
    assert_eq!(cleanup.drafts().unwrap(), []);
    assert_eq!(store.versions().0, BTreeSet::new());
    let lost = cleanup.publish(&account().timeline(), 5).unwrap_err();
    assert!(matches!(lost, DatasetError::DraftLost { .. }), "{lost}");
}

#[test]
fn a_draft_that_is_begun_again_replaces_the_one_before() {
    let store = Store::start();
    let (node, other) = (store.node(), store.node());
    let key = account().timeline();
    finish(&*node, 5, 1);
    let mut again = node.begin_timeline(&account(), 5).unwrap();
    let lost = other.publish(&key, 5).unwrap_err();
    assert!(matches!(lost, DatasetError::DraftLost { .. }), "{lost}");
    again.push(&2.into(), "{\"id\":2}").unwrap();
    again.finish().unwrap();
    other.publish(&key, 5).unwrap();
    // What is published stays, whatever its writer does.
    drop(node.begin_timeline(&account(), 5).unwrap());
    assert_eq!(lines(&*other), ["{\"id\":2}"]);
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks == named), (1, true));
}

#[test]
fn an_update_leaves_the_blocks_of_the_new_version_alone() {
    let store = Store::start();
    let (node, other) = (store.node(), store.node());
    let key = account().timeline();
    finish(&*node, 1, 1);
    node.publish(&key, 1).unwrap();
    node.discard(&key, 1).unwrap();
    for lease in 2..=4 {
        update(&*node, lease, lease);
        // Those of the version before are still there, for readers that have begun.
        node.publish(&key, lease).unwrap();
        assert_eq!(store.versions().0.len(), 2);
        // Of a node that dies between the two, another one removes what is left.
        let remover = if lease == 3 { &other } else { &node };
        remover.discard(&key, lease).unwrap();
        let (with_blocks, named) = store.versions();
        assert_eq!((with_blocks.len(), with_blocks == named), (1, true));
    }
    // Published, and never discarded: the next publication knows of both.
    update(&*node, 5, 5);
    node.publish(&key, 5).unwrap();
    update(&*other, 6, 6);
    other.publish(&key, 6).unwrap();
    for (node, lease) in [(&node, 5), (&other, 6)] {
        node.discard(&key, lease).unwrap();
    }
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks == named), (1, true));
    assert_eq!(lines(&*node), [6, 5, 4, 3, 2, 1].map(|id| format!("{{\"id\":{id}}}")));
}

#[test]
fn the_small_leases_of_a_new_owner_are_higher_than_all_of_the_former_one() {
    let store = Store::start();
    let old = store.node();
    finish(&*old, 1_000, 1);
    old.publish(&account().timeline(), 1_000).unwrap();
    finish(&*old, 3, 8);
    let output = KeyspaceOutput::new(&store.store);
    assert_eq!(output.look().unwrap(), OutputState::Marked(OWNER));
    let owner = output.replace(Marker { cluster: 77, storage: 78, epoch: 0 }).unwrap();
    assert_eq!(owner, Marker { cluster: 77, storage: 78, epoch: 1 });
    let new = store.node_of(owner);
    assert_eq!(new.drafts().unwrap(), [], "those of the former owner are none of ours");
    finish(&new, 3, 9);
    new.publish(&account().timeline(), 3).unwrap();
    assert_eq!(lines(&new), ["{\"id\":9}"]);
    // The former owner looks at the marker once a minute, and before it replaces a file that is none of its own.
    finish(&*old, 2_000, 1);
    let refused = old.publish(&account().timeline(), 2_000).unwrap_err();
    assert!(matches!(refused, DatasetError::NotMounted { .. }), "{refused}");
    assert_eq!(lines(&new), ["{\"id\":9}"]);
    let fresh = store.node_of(OWNER);
    assert!(matches!(fresh.exists(&account().timeline()), Err(DatasetError::NotMounted { .. })));
}

#[test]
fn what_a_tool_has_written_is_replaced_by_a_crawl_and_read_before() {
    let store = Store::start();
    let node = store.node();
    store.put(&account().timeline(), b"{\"id\":3}\n{\"id\":2}\n");
    assert_eq!(node.newest_post(&account()).unwrap(), Some(3.into()));
    update(&*node, 1, 9);
    node.publish(&account().timeline(), 1).unwrap();
    assert_eq!(lines(&*node), [9, 3, 2].map(|id| format!("{{\"id\":{id}}}")));
    assert_eq!(node.newest_post(&account()).unwrap(), Some(9.into()));
}

#[test]
fn what_an_operator_writes_during_an_update_is_not_replaced_by_older_posts() {
    let store = Store::start();
    // Another node that publishes the draft knows what it is based on.
    for (publisher, lease) in [("writer", 1), ("other", 11)] {
        let (node, other) = (store.node(), store.node());
        finish(&*node, lease, 5);
        node.publish(&account().timeline(), lease).unwrap();
        node.discard(&account().timeline(), lease).unwrap();
        update(&*node, lease + 1, 9);
        store.put(&account().timeline(), b"{\"id\":5}\n{\"id\":4}\n");
        let by = if publisher == "other" { &other } else { &node };
        let lost = by.publish(&account().timeline(), lease + 1).unwrap_err();
        assert!(matches!(lost, DatasetError::DraftLost { .. }), "its job runs again: {lost}");
        assert_eq!(lines(&*node), ["{\"id\":5}", "{\"id\":4}"]);
    }
}

#[test]
fn an_output_that_lost_its_marker_gets_an_epoch_above_all_earlier_ones() {
    let store = Store::start();
    let keyspace = store.keyspace();
    let cql = format!("DELETE FROM {}.settings WHERE name = 'owner' IF EXISTS", keyspace.name());
    keyspace.transact("delete the marker", &keyspace.prepare(&cql).unwrap(), ()).unwrap();
    let output = KeyspaceOutput::new(&store.store);
    assert_eq!(output.look().unwrap(), OutputState::Empty);
    let adopted = output.replace(Marker { cluster: 8, storage: 9, epoch: 0 }).unwrap();
    assert!(adopted.epoch > 1_000_000, "{adopted:?}");
}

#[test]
fn a_cluster_that_continues_another_one_keeps_its_drafts() {
    let store = Store::start();
    finish(&*store.node(), 3, 8);
    let forced = Marker { cluster: 77, ..OWNER };
    KeyspaceOutput::new(&store.store).put(forced).unwrap();
    let new = store.node_of(forced);
    new.publish(&account().timeline(), 3).unwrap();
    assert_eq!(lines(&new), ["{\"id\":8}"]);
}

#[test]
fn of_all_nodes_that_claim_a_keyspace_at_once_one_draws_the_id() {
    let shared = SharedCassandra::get().unwrap();
    let store = shared.server().create(&shared.free_keyspace()).unwrap();
    let output = KeyspaceOutput::new(&store);
    assert_eq!(output.look().unwrap(), OutputState::Empty);
    let claimed: Vec<Marker> = std::thread::scope(|scope| {
        let claim = |storage| scope.spawn(move || output.claim(Marker { storage, ..OWNER }).unwrap());
        let threads: Vec<_> = (1..=8).map(claim).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(claimed.iter().all(|marker| *marker == claimed[0]), "{claimed:?}");
    assert_eq!(output.look().unwrap(), OutputState::Marked(claimed[0]));
}

#[test]
fn a_file_over_several_partitions_is_resumed_updated_and_deleted_whole() {
    let store = Store::start();
    let small = |owner| {
        let options =
            CassandraDatasetOptions { block_bytes: 400, ..store.spools.options(&store.store, owner) };
        CassandraDataset::open(options).unwrap()
    };
    let (first, second) = (small(OWNER), small(OWNER));
    let key = account().timeline();
    let mut draft = first.begin_timeline(&account(), 1).unwrap();
    // Each post is larger than a block.
    for id in (300..=600).rev() {
        draft.push(&id.into(), &post(id)).unwrap();
    }
    let saved = draft.save_point().unwrap();
    let mut draft = second.resume_timeline(&account(), saved, 1, 2).unwrap();
    for id in (1..300).rev() {
        draft.push(&id.into(), &post(id)).unwrap();
    }
    draft.finish().unwrap();
    first.discard(&key, 1).unwrap();
    first.publish(&key, 2).unwrap();
    first.discard(&key, 2).unwrap();
    let expected: Vec<String> = (1..=600).rev().map(post).collect();
    assert!(lines(&second) == expected);
    let keyspace = store.keyspace();
    let buckets = || -> BTreeSet<i32> {
        let cql = format!("SELECT bucket FROM {}.blocks", keyspace.name());
        let rows: Vec<(i32,)> = keyspace.rows("look", &keyspace.prepare(&cql).unwrap(), ()).unwrap();
        rows.into_iter().map(|(bucket,)| bucket).collect()
    };
    assert!(buckets().len() > 3, "{:?}", buckets());
    // Tools read it as it is stored.
    let (tools, mut stored) = (store.tools(), Vec::new());
    let found = tools.find(&key).unwrap().unwrap();
    std::io::Read::read_to_end(&mut tools.open(&found).unwrap(), &mut stored).unwrap();
    assert_eq!(found.bytes, stored.len() as u64);
    let listed: Vec<_> = tools.files().unwrap().map(Result::unwrap).collect();
    assert_eq!(listed, [found]);
    update(&second, 3, 700);
    second.publish(&key, 3).unwrap();
    second.discard(&key, 3).unwrap();
    assert_eq!(lines(&first).len(), 601);
    let (with_blocks, named) = store.versions();
    assert_eq!((with_blocks.len(), with_blocks == named), (1, true));
}

#[test]
fn blocks_can_be_read_by_themselves_and_name_their_first_and_last_post() {
    let store = Store::start();
    let options = CassandraDatasetOptions { block_bytes: 8_000, ..store.spools.options(&store.store, OWNER) };
    let node = CassandraDataset::open(options).unwrap();
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    for id in (1..=100).rev() {
        draft.push(&id.into(), &post(id)).unwrap();
    }
    draft.finish().unwrap();
    let keyspace = store.keyspace();
    let cql = format!("SELECT part, first, last, data FROM {}.blocks", keyspace.name());
    let rows: Vec<(i32, String, String, Vec<u8>)> =
        keyspace.rows("look", &keyspace.prepare(&cql).unwrap(), ()).unwrap();
    assert!(rows.len() > 9, "{}", rows.len());
    let mut next = 100;
    for (part, first, last, data) in rows {
        assert!(part == 0 && data.len() <= 8_000, "{part} {}", data.len());
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("block");
        fs::write(&file, data).unwrap();
        let mut text = String::new();
        let mut decoded = storage::dataset::open_decoded(&file).unwrap();
        std::io::Read::read_to_string(&mut decoded.bytes, &mut text).unwrap();
        let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
        let expected: String = (last..=first).rev().map(|id| post(id) + "\n").collect();
        assert!(first == next && text == expected, "{first} {last}");
        next = last - 1;
    }
    assert_eq!(next, 0);
}
