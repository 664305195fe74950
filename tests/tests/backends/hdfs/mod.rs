//! In a folder of a real HDFS.

mod away;
mod client;
mod owners;
mod refused;
mod relay;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use storage::dataset::hdfs::{HdfsDataset, HdfsDatasetOptions, HdfsOutput, HdfsStore};
use storage::dataset::store::{Rewritable as _, Store as _};
use storage::dataset::{Account, Compression, Dataset, DatasetError, FileKey, Marker};
use storage::env::SystemClock;
use storage::ids::UserId;
use storage::net::hdfs::{Hdfs, HdfsOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use twm_tests::hdfs_server::HdfsServer;

use super::contract::Backend;
use super::tools::Served;
use super::{keeps_the_contract, tools_take_it};

const OWNER: Marker = Marker { cluster: 5, storage: 6, epoch: 0 };

/// A server that the tests which do it no harm share: it takes seconds to start. It ends with the last of those that run at
/// a time.
struct Shared {
    server: HdfsServer,
    runtime: Runtime,
}

fn shared() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(HdfsServer::start()).unwrap();
    let started = Arc::new(Shared { server, runtime });
    *shared = Arc::downgrade(&started);
    started
}

/// A folder of its own, and the spools of the nodes.
struct Store {
    hdfs: Hdfs,
    spools: TempDir,
    nodes: AtomicU64,
    /// Kept running.
    _shared: Option<Arc<Shared>>,
}

impl Store {
    fn start() -> Self {
        static FOLDERS: AtomicU64 = AtomicU64::new(0);
        let shared = shared();
        let folder = format!("tests/data-{}", FOLDERS.fetch_add(1, Ordering::Relaxed));
        let hdfs = shared.runtime.block_on(shared.server.open(&folder)).unwrap();
        Self { _shared: Some(shared), ..Self::of(hdfs) }
    }

    fn of(hdfs: Hdfs) -> Self {
        assert_eq!(HdfsOutput::new(&hdfs).claim(OWNER).unwrap(), OWNER);
        Self { hdfs, spools: TempDir::new().unwrap(), nodes: AtomicU64::new(0), _shared: None }
    }

    fn options(&self, owner: Marker) -> HdfsDatasetOptions {
        let spool = self.spools.path().join(self.nodes.fetch_add(1, Ordering::Relaxed).to_string());
        HdfsDatasetOptions::new(self.hdfs.clone(), spool, owner, Arc::new(SystemClock::new()))
    }

    fn node_of(&self, owner: Marker) -> HdfsDataset {
        HdfsDataset::open(self.options(owner)).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        self.hdfs.delete(name).unwrap();
        let mut file = self.hdfs.create(name).unwrap();
        file.write(bytes.to_vec().into()).unwrap();
        file.close().unwrap();
    }

    fn names(&self, folder: &str) -> Vec<String> {
        self.hdfs.list(folder).unwrap().into_iter().flatten().map(|found| found.unwrap().0).collect()
    }
}

impl Backend for Store {
    fn node(&self) -> Box<dyn Dataset> {
        Box::new(self.node_of(OWNER))
    }

    fn put(&self, key: &FileKey, bytes: &[u8]) {
        let path = key.path_under("".as_ref()).unwrap();
        self.write(path.to_str().unwrap(), bytes);
    }

    fn store(&self) -> Box<dyn storage::dataset::store::Store> {
        Box::new(HdfsStore::new(self.hdfs.clone()))
    }
}

impl Served for Store {
    fn url(&self) -> String {
        self.hdfs.place().to_owned()
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

fn lines(node: &dyn Dataset) -> Vec<String> {
    node.open_timeline(&account()).unwrap().unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_frozen_publisher_that_wakes_up_replaces_no_later_file() {
    let store = Store::start();
    let (frozen, node, key) = (store.node(), store.node(), account().timeline());
    finish(&*frozen, 5, 1);
    // Its completion was accepted, and another node has published it before lease 9 was granted.
    node.publish(&key, 5).unwrap();
    node.discard(&key, 5).unwrap();
    finish(&*node, 9, 2);
    node.publish(&key, 9).unwrap();
    node.discard(&key, 9).unwrap();
    let lost = frozen.publish(&key, 5).unwrap_err();
    assert!(matches!(lost, DatasetError::DraftLost { lease: 5, .. }), "{lost}");
    assert_eq!(lines(&*node), ["{\"id\":2}"]);
}

#[test]
fn two_nodes_that_publish_one_draft_at_once_both_succeed() {
    let store = Store::start();
    let nodes = [store.node(), store.node(), store.node()];
    let key = account().timeline();
    for lease in 1..=5 {
        finish(&*nodes[0], lease, lease);
        std::thread::scope(|scope| {
            for node in &nodes {
                let key = &key;
                scope.spawn(move || node.publish(key, lease).unwrap());
            }
        });
        assert_eq!(lines(&*nodes[1]), [format!("{{\"id\":{lease}}}")]);
    }
}

#[test]
fn a_draft_that_was_cut_short_is_never_published() {
    let store = Store::start();
    let (dead, node, key) = (store.node(), store.node(), account().timeline());
    let mut draft = dead.begin_timeline(&account(), 4).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    let saved = draft.save_point().unwrap();
    let lost = node.publish(&key, 4).unwrap_err();
    assert!(matches!(lost, DatasetError::DraftLost { lease: 4, .. }), "{lost}");
    // Also not once its file is closed.
    drop(node.resume_timeline(&account(), saved, 4, 5).unwrap());
    assert!(matches!(node.publish(&key, 4), Err(DatasetError::DraftLost { .. })));
    assert!(!node.exists(&key).unwrap());
}

#[test]
fn files_of_the_original_program_are_read_as_they_lie_and_then_replaced() {
    use std::io::Write;
    let store = Store::start();
    let (node, key) = (store.node(), account().timeline());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"{\"id\": 6}\n{\"id\": 5}\n").unwrap();
    store.write("7/7.twt.gz", &gzip.finish().unwrap());
    store.write("7/7.fws.gz", &[0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(node.newest_post(&account()).unwrap(), Some(6.into()));
    let followers: Vec<_> = node.open_followers(&account()).unwrap().unwrap().map(Result::unwrap).collect();
    assert_eq!(followers, [UserId::Number(9)]);
    assert!(node.stat(&key).unwrap().unwrap().place.ends_with("7/7.twt.gz"));
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&8.into(), "{\"id\": 8}").unwrap();
    assert_eq!(draft.append_existing().unwrap().items, 2);
    draft.finish().unwrap();
    node.publish(&key, 1).unwrap();
    assert_eq!(store.names("7"), ["7.fws.gz", "7.twt"]);
    assert_eq!(lines(&*node), ["{\"id\": 8}", "{\"id\": 6}", "{\"id\": 5}"]);
}

#[test]
fn a_file_that_was_replaced_since_it_was_read_is_not_set_aside() {
    let store = Store::start();
    let node = store.node();
    store.put(&account().timeline(), b"\x1f\x8bno gzip");
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    // Keeps what it reads for the update.
    let Err(DatasetError::SetAside { .. }) = node.newest_post(&account()) else { panic!() };
    store.put(&account().timeline(), b"{\"id\":5}\n");
    assert_eq!(node.newest_post(&account()).unwrap(), Some(5.into()));
    assert_eq!(store.names("7"), ["7.twt", "7.twt.unreadable"]);
}

#[test]
fn a_draft_of_several_blocks_is_synced_resumed_and_published() {
    let runtime = Runtime::new().unwrap();
    let megabyte = "1048576";
    let blocks = [("dfs.blocksize", megabyte), ("dfs.namenode.fs-limits.min-block-size", megabyte)];
    let server = runtime.block_on(HdfsServer::start_with(&blocks)).unwrap();
    let store = Store::of(runtime.block_on(server.open("data")).unwrap());
    let plain = || {
        let options = HdfsDatasetOptions { compression: Compression::None, ..store.options(OWNER) };
        HdfsDataset::open(options).unwrap()
    };
    let (first, second) = (plain(), plain());
    let post = |id: u64| format!("{{\"id\":{id},\"text\":\"{}\"}}", "x".repeat(700));
    let mut old = first.begin_timeline(&account(), 1).unwrap();
    let mut saved = Vec::new();
    for id in (4_001..=10_000_u64).rev() {
        old.push(&id.into(), &post(id)).unwrap();
        if id % 1_500 == 0 {
            saved.push(old.save_point().unwrap());
        }
    }
    let saved = *saved.last().unwrap();
    assert!(saved.token > 3 << 20 && saved.items == 5_501, "{saved:?}");
    let mut new = second.resume_timeline(&account(), saved, 1, 2).unwrap();
    drop(old);
    for id in (1..=4_499_u64).rev() {
        new.push(&id.into(), &post(id)).unwrap();
    }
    new.finish().unwrap();
    second.publish(&account().timeline(), 2).unwrap();
    let read = lines(&first);
    assert!(read.len() == 10_000 && read.iter().zip((1..=10_000).rev()).all(|(line, id)| *line == post(id)));
}

#[test]
fn published_files_are_listed_read_and_created_but_never_replaced() {
    let store = Store::start();
    let node = store.node();
    finish(&*node, 1, 5);
    node.publish(&account().timeline(), 1).unwrap();
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&6.into(), "{\"id\":6}").unwrap();
    draft.save_point().unwrap();
    for (name, bytes) in [
        ("7/7.twt.gz", "older twin"),
        ("8/8.fws.gz", "9\n"),
        ("8/8.twt.unreadable", "garbage"),
        ("notes.txt", "none of ours"),
        ("bluesky/f0/did%3Aplc%3Aa.twt", "{}"),
    ] {
        store.write(name, bytes.as_bytes());
    }
    let files = HdfsStore::new(store.hdfs.clone());
    let listed: Vec<_> = files.files().unwrap().map(Result::unwrap).collect();
    let names: Vec<_> = listed.iter().map(|file| (file.name.as_str(), file.set_aside)).collect();
    let expected = [
        ("7/7.twt", false),
        ("8/8.fws.gz", false),
        ("8/8.twt.unreadable", true),
        ("bluesky/f0/did%3Aplc%3Aa.twt", false),
    ];
    assert_eq!(names, expected);
    assert_eq!(listed[3].key.account.source.to_string(), "bluesky");
    let original = files.find(&listed[1].key).unwrap().unwrap();
    assert_eq!(original, listed[1]);
    let mut read = Vec::new();
    files.open(&original).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!((read.as_slice(), original.bytes), (b"9\n".as_slice(), 2));
    let local = store.spools.path().join("local");
    std::fs::write(&local, vec![b'x'; 3_000_000]).unwrap();
    let new = Account::from(UserId::Number(99)).followers();
    assert!(files.create(&new, &local).unwrap());
    let created = files.find(&new).unwrap().unwrap();
    assert_eq!(created.bytes, 3_000_000);
    std::fs::write(&local, "other").unwrap();
    assert!(!files.create(&new, &local).unwrap());
    assert_eq!(files.find(&new).unwrap().unwrap(), created);
    assert_eq!(store.names(".tmp/copies"), Vec::<String>::new());
    // What was replaced since it was read stays.
    store.write("99/99.fws", b"1\n");
    assert!(matches!(files.replace(&created, &local), Err(DatasetError::Changed { .. })));
    assert!(matches!(files.remove(&created), Err(DatasetError::Changed { .. })));
    assert!(matches!(files.open(&created), Err(DatasetError::Changed { .. })));
    assert_eq!(store.names("99"), ["99.fws"]);
    assert_eq!(store.names(".tmp/copies"), Vec::<String>::new());
}

/// With times that a test can wait for.
fn short() -> HdfsOptions {
    let second = std::time::Duration::from_secs(1);
    HdfsOptions { user: None, call: 4 * second, transfer: 6 * second }
}
