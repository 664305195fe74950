//! In a bucket of a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use storage::dataset::s3::{BucketOutput, S3Dataset, S3DatasetOptions};
use storage::dataset::{Account, Dataset, DatasetError, FileKey, Marker, OutputState};
use storage::env::SystemClock;
use storage::ids::UserId;
use storage::net::s3::{Attributes, Bucket, Condition};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use twm_tests::s3_server::S3Server;

use super::contract::{Backend, batch, batch_name};
use super::tools::Served;
use super::{keeps_the_contract, tools_take_it};

const OWNER: Marker = Marker { cluster: 5, storage: 6, epoch: 0 };

/// A server, and the spools of the nodes.
struct Store {
    runtime: Runtime,
    server: S3Server,
    spools: TempDir,
    nodes: AtomicU64,
    bucket: Bucket,
}

impl Store {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(S3Server::start()).unwrap();
        let bucket = runtime.block_on(server.open("data/set")).unwrap();
        assert_eq!(BucketOutput::new(&bucket).claim(OWNER).unwrap(), OWNER);
        let (spools, nodes) = (TempDir::new().unwrap(), AtomicU64::new(0));
        Self { runtime, server, spools, nodes, bucket }
    }

    fn node_of(&self, owner: Marker) -> S3Dataset {
        let spool = self.spools.path().join(self.nodes.fetch_add(1, Ordering::Relaxed).to_string());
        S3Dataset::open(S3DatasetOptions::new(
            self.bucket.clone(),
            spool,
            owner,
            Arc::new(SystemClock::new()),
        ))
        .unwrap()
    }

    fn requests_of(&self, work: impl FnOnce()) -> u64 {
        let all = |bucket: &Bucket| {
            let counts = bucket.requests();
            counts.get + counts.head + counts.put + counts.delete + counts.list + counts.multipart
        };
        let before = all(&self.bucket);
        work();
        all(&self.bucket) - before
    }
}

impl Backend for Store {
    fn node(&self) -> Box<dyn Dataset> {
        Box::new(self.node_of(OWNER))
    }

    fn put(&self, key: &FileKey, bytes: &[u8]) {
        let path = key.path_under("".as_ref()).unwrap();
        let name = path.to_str().unwrap();
        self.bucket.put(name, bytes.to_vec().into(), &Attributes::new(), &Condition::Any).unwrap();
    }

    fn store(&self) -> Box<dyn storage::dataset::store::Store> {
        Box::new(storage::dataset::s3::BucketStore::new(self.bucket.clone()))
    }
}

impl Served for Store {
    fn url(&self) -> String {
        "s3://twm/data/set".to_owned()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        let (key, secret) = self.server.login();
        vec![
            ("AWS_ENDPOINT_URL", self.server.endpoint()),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ]
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
    let (frozen, node) = (store.node(), store.node());
    finish(&*frozen, 5, 1);
    finish(&*node, 9, 2);
    node.publish(&account().timeline(), 9).unwrap();
    node.discard(&account().timeline(), 9).unwrap();
    // Its completion was accepted, and published by another node before lease 9 was granted. The mirror reads what is there
    // before each publication.
    frozen.publish(&account().timeline(), 5).unwrap();
    assert_eq!(frozen.newest_post(&account()).unwrap(), Some(2.into()));
    frozen.publish(&account().timeline(), 5).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":2}"]);
}

#[test]
fn the_small_leases_of_a_new_owner_are_higher_than_all_of_the_former_one() {
    let store = Store::start();
    let old = store.node();
    finish(&*old, 1_000, 1);
    old.publish(&account().timeline(), 1_000).unwrap();
    finish(&*old, 3, 8);
    let output = BucketOutput::new(&store.bucket);
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
fn a_file_that_was_copied_from_another_bucket_with_its_fence_is_replaced() {
    let store = Store::start();
    let fence = [("twm-storage", "0000000000000009"), ("twm-epoch", "7"), ("twm-lease", "1000000")];
    let fence: Attributes = fence.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (id, fence) in [(1, fence), (2, Attributes::new())] {
        let bytes = format!("{{\"id\":{id}}}\n").into_bytes();
        store.bucket.put("7/7.twt", bytes.into(), &fence, &Condition::Any).unwrap();
        let node = store.node();
        finish(&*node, 3 + id, 8 + id);
        node.publish(&account().timeline(), 3 + id).unwrap();
        assert_eq!(lines(&*node), [format!("{{\"id\":{}}}", 8 + id)]);
    }
}

#[test]
fn what_an_operator_writes_during_an_update_is_not_replaced_by_older_posts() {
    let store = Store::start();
    let node = store.node();
    finish(&*node, 1, 5);
    node.publish(&account().timeline(), 1).unwrap();
    node.newest_post(&account()).unwrap();
    let mut draft = node.begin_timeline(&account(), 2).unwrap();
    draft.push(&9.into(), "{\"id\":9}").unwrap();
    draft.append_existing().unwrap();
    draft.finish().unwrap();
    store.put(&account().timeline(), b"{\"id\":5}\n{\"id\":4}\n");
    let lost = node.publish(&account().timeline(), 2).unwrap_err();
    assert!(matches!(lost, DatasetError::DraftLost { .. }), "its job runs again: {lost}");
    assert_eq!(lines(&*node), ["{\"id\":5}", "{\"id\":4}"]);
}

#[test]
fn a_spool_removes_only_what_it_has_made() {
    let store = Store::start();
    let folder = TempDir::new().unwrap();
    for name in ["0000000000000007.spool", "22013880.twt.4", "download-3"] {
        std::fs::write(folder.path().join(name), b"x").unwrap();
    }
    let spool = folder.path().to_owned();
    let clock = Arc::new(SystemClock::new());
    S3Dataset::open(S3DatasetOptions::new(store.bucket.clone(), spool, OWNER, clock)).unwrap();
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["0000000000000007.spool"]);
}

#[test]
fn an_output_that_lost_its_marker_gets_an_epoch_above_all_earlier_ones() {
    let store = Store::start();
    store.bucket.delete(".twm-output").unwrap();
    let adopted =
        BucketOutput::new(&store.bucket).replace(Marker { cluster: 8, storage: 9, epoch: 0 }).unwrap();
    assert!(adopted.epoch > 1_000_000, "{adopted:?}");
}

#[test]
fn a_cluster_that_continues_another_one_keeps_its_drafts() {
    let store = Store::start();
    finish(&*store.node(), 3, 8);
    let output = BucketOutput::new(&store.bucket);
    let forced = Marker { cluster: 77, ..OWNER };
    output.put(forced).unwrap();
    let new = store.node_of(forced);
    new.publish(&account().timeline(), 3).unwrap();
    assert_eq!(lines(&new), ["{\"id\":8}"]);
}

#[test]
fn of_all_nodes_that_claim_a_bucket_at_once_one_draws_the_id() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(S3Server::start()).unwrap();
    let bucket = runtime.block_on(server.open("")).unwrap();
    let output = BucketOutput::new(&bucket);
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
fn a_first_crawl_takes_three_requests_and_an_update_four() {
    let store = Store::start();
    let node = store.node();
    let key = account().timeline();
    // The marker is looked at once a minute.
    assert!(!node.exists(&key).unwrap());
    let first = store.requests_of(|| {
        finish(&*node, 1, 5);
        node.publish(&key, 1).unwrap();
        node.discard(&key, 1).unwrap();
    });
    let update = store.requests_of(|| {
        node.newest_post(&account()).unwrap();
        let mut draft = node.begin_timeline(&account(), 2).unwrap();
        draft.push(&9.into(), "{\"id\":9}").unwrap();
        draft.append_existing().unwrap();
        draft.finish().unwrap();
        node.publish(&key, 2).unwrap();
        node.discard(&key, 2).unwrap();
    });
    assert_eq!((first, update), (3, 4));
    assert_eq!(lines(&*node), ["{\"id\":9}", "{\"id\":5}"]);
}

#[test]
fn a_server_that_is_away_loses_no_draft_and_is_named() {
    let mut store = Store::start();
    let node = store.node();
    let key = account().timeline();
    let mut draft = node.begin_timeline(&account(), 1).unwrap();
    draft.push(&5.into(), "{\"id\":5}").unwrap();
    finish(&*node, 2, 6);
    store.runtime.block_on(store.server.kill()).unwrap();
    let begun = Instant::now();
    for error in [draft.save_point().unwrap_err(), node.publish(&key, 2).unwrap_err()] {
        assert!(error.is_of_the_place() && error.is_temporary(), "{error}");
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "a call ends by itself");
    store.runtime.block_on(store.server.restart()).unwrap();
    node.publish(&key, 2).unwrap();
    assert_eq!(lines(&*node), ["{\"id\":6}"]);
    let saved = draft.save_point().unwrap();
    assert_eq!(store.node().resume_timeline(&account(), saved, 1, 3).unwrap().items(), 1);
}

#[test]
fn a_batch_of_provenance_is_one_request() {
    let store = Store::start();
    let node = store.node();
    // It also reads the marker, as any first call.
    node.append_provenance(&batch_name(1), &batch([1])).unwrap();
    let full = batch(1..=4_096);
    let requests = store.requests_of(|| node.append_provenance(&batch_name(2), &full).unwrap());
    assert_eq!(requests, 1);
    assert!(full.len() < 512 * 1024, "{} bytes", full.len());
}
