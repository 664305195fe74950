//! Snapshots received in pieces from a peer, and the state loaded from one.
#![no_main]

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use raft::state::State;
use storage::snapshot::{SnapshotReader, SnapshotReceiver, SnapshotWriter};
use storage::state::{MemoryStore, StateStore, WriteBatch};
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(twm_fuzz::folder());
}

fn run(data: &[u8]) {
    let Some((mode, bytes)) = data.split_first() else { return };
    FOLDER.with_borrow(|folder| {
        let folder = folder.path();
        match mode % 2 {
            0 => receive(folder, *mode, bytes),
            _ => load(folder, bytes),
        }
        for entry in fs::read_dir(folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    });
}

/// Any input yields an error or a file that is readable to its end.
fn receive(folder: &Path, mode: u8, bytes: &[u8]) {
    let mut receiver = SnapshotReceiver::open(folder, "1-2-3").unwrap();
    for piece in bytes.chunks(1 + usize::from(mode)) {
        receiver.append(receiver.offset(), piece).unwrap();
    }
    if let Ok(path) = receiver.finish(bytes.len() as u64) {
        assert!(SnapshotReader::open(&path).unwrap().all(|entry| entry.is_ok()));
    }
}

/// Entries of an intact snapshot, built from the bytes: the lengths of key and value, then both.
fn load(folder: &Path, mut bytes: &[u8]) {
    let path = folder.join("x");
    let mut writer = SnapshotWriter::create(&path, b"header").unwrap();
    let (mut entries, mut batch) = (Vec::new(), WriteBatch::new());
    while let [key, low, high, rest @ ..] = bytes {
        let Some((key, rest)) = rest.split_at_checked(usize::from(*key)) else { break };
        let Some((value, rest)) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))
        else {
            break;
        };
        bytes = rest;
        writer.put(key, value).unwrap();
        entries.push((key.to_vec(), value.to_vec()));
        batch.put(key, value);
    }
    writer.finish().unwrap();
    let reader = SnapshotReader::open(&path).unwrap();
    assert_eq!(reader.header(), b"header");
    assert!(reader.map(Result::unwrap).eq(entries));
    let store = Arc::new(MemoryStore::new());
    store.write(batch).unwrap();
    // Records of a newer or faulty program are an error.
    let _loaded = State::load(store);
}

fn seeds() {
    let folder = twm_fuzz::folder();
    let path = folder.path().join("x");
    let mut writer = SnapshotWriter::create(&path, b"header").unwrap();
    writer.put(b"key", b"value").unwrap();
    writer.finish().unwrap();
    let whole = [vec![0], fs::read(&path).unwrap()].concat();
    // A state with a crawl, a queue and a seen-set.
    twm_fuzz::seeds([whole, [vec![1], twm_fuzz::state()].concat()]);
}

fuzz_target!(init: seeds(), |data: &[u8]| run(data));
