use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;
use crate::env::{Entropy, SeededEntropy};
use crate::state::{MAX_VALUE_BYTES, MemoryStore};

fn batch(entries: &[(&str, &str)]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for (key, value) in entries {
        batch.put(*key, *value);
    }
    batch
}

fn all(store: &dyn StateStore) -> Vec<Entry> {
    store.scan(b"", None).collect::<Result<_>>().unwrap()
}

fn random_batch(entropy: &SeededEntropy, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> WriteBatch {
    let mut batch = WriteBatch::new();
    for _ in 0..entropy.next_u64() % 200 {
        let key = (entropy.next_u64() % 1_000).to_string().into_bytes();
        if entropy.next_u64() % 4 == 0 {
            model.remove(&key);
            batch.delete(key);
        } else {
            let value = vec![entropy.next_u64() as u8; (entropy.next_u64() % 3_000) as usize];
            model.insert(key.clone(), value.clone());
            batch.put(key, value);
        }
    }
    batch
}

#[test]
fn both_stores_behave_as_a_sorted_map_and_sled_through_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let entropy = SeededEntropy::new(21);
    let memory = MemoryStore::new();
    let mut model = BTreeMap::new();
    for _ in 0..5 {
        let sled = SledStore::open(folder.path()).unwrap();
        for _ in 0..20 {
            let batch = random_batch(&entropy, &mut model);
            sled.write(batch.clone()).unwrap();
            memory.write(batch).unwrap();
        }
        for store in [&sled as &dyn StateStore, &memory] {
            assert!(all(store).iter().map(|(k, v)| (k, v)).eq(model.iter()));
            let part: Vec<Entry> = store.scan(b"3", Some(b"7")).collect::<Result<_>>().unwrap();
            let expected = model.range(b"3".to_vec()..b"7".to_vec());
            assert!(part.iter().map(|(k, v)| (k, v)).eq(expected));
            assert_eq!(store.get(b"no such key").unwrap(), None);
            assert!(store.size_on_disk().unwrap() > 0);
        }
    }
}

#[test]
fn a_value_that_sled_would_move_into_a_blob_is_refused_and_none_of_the_others_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    let mut large = WriteBatch::new();
    large.put(*b"k", vec![0; MAX_VALUE_BYTES + 1]);
    assert!(matches!(store.write(large), Err(StateError::ValueTooLarge { .. })));
    let mut long = WriteBatch::new();
    long.put(vec![0; 5_000], *b"v");
    assert!(matches!(store.write(long), Err(StateError::KeyTooLong { .. })));

    for round in 0..3u8 {
        let mut largest = WriteBatch::new();
        for key in 0..100u32 {
            largest.put(key.to_be_bytes(), vec![round; MAX_VALUE_BYTES]);
        }
        store.write(largest).unwrap();
    }
    let blobs = fs::read_dir(folder.path().join("state-1/blobs")).unwrap().count();
    assert_eq!(blobs, 0, "sled never syncs its blobs");
    drop(store);
    assert_eq!(all(&SledStore::open(folder.path()).unwrap()).len(), 100);
}

#[test]
fn a_failed_sync_poisons_the_store_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&broken);
    let sync: SyncFile = Box::new(move |file| match switch.load(Ordering::Relaxed) {
        true => Err(io::Error::other("no more disk")),
        false => file.sync_data(),
    });
    let store = SledStore::open_with(folder.path(), sync).unwrap();
    store.write(batch(&[("a", "1")])).unwrap();

    broken.store(true, Ordering::Relaxed);
    let error = store.write(batch(&[("b", "2")])).unwrap_err();
    assert!(error.to_string().contains("no more disk"), "{error}");
    broken.store(false, Ordering::Relaxed);
    for error in [
        store.write(batch(&[("c", "3")])).unwrap_err(),
        store.get(b"a").unwrap_err(),
        store.scan(b"", None).next().unwrap().unwrap_err(),
        store.replace_all(&mut std::iter::empty()).unwrap_err(),
    ] {
        let StateError::Poisoned { why, .. } = error else { panic!("{error}") };
        assert!(why.contains("no more disk"), "{why}");
    }
    drop(store);
    let store = SledStore::open(folder.path()).unwrap();
    assert_eq!(store.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(
        store.get(b"b").unwrap(),
        Some(b"2".to_vec()),
        "a batch on disk is finished by the next start"
    );
    assert_eq!(store.get(b"c").unwrap(), None);
}

/// A store with entries `a` to `d`, and a batch of changes of `b`, `c` and `e`.
fn begun() -> (tempfile::TempDir, WriteBatch) {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    store.write(batch(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")])).unwrap();
    let mut changes = batch(&[("b", "2"), ("e", "2")]);
    changes.delete(*b"c");
    (folder, changes)
}

fn texts(store: &dyn StateStore) -> Vec<(String, String)> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    all(store).into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn entries(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_batch_that_a_kill_cut_off_is_finished_by_the_next_start() {
    for done in 0..=3 {
        let (folder, changes) = begun();
        redo::record(folder.path(), 1, &changes).unwrap();
        let half = Generation::open(folder.path(), 1).unwrap();
        let some = changes.clone().into_changes().into_iter().take(done).map(Ok);
        redo::insert(&half, &mut { some }).unwrap();
        drop(half);
        let store = SledStore::open(folder.path()).unwrap();
        assert_eq!(texts(&store), entries(&[("a", "1"), ("b", "2"), ("d", "1"), ("e", "2")]), "{done} done");
        assert!(!folder.path().join("REDO").exists());
    }
}

#[test]
fn a_batch_that_was_not_whole_on_disk_never_was() {
    let (folder, changes) = begun();
    redo::record(folder.path(), 1, &changes).unwrap();
    fs::rename(folder.path().join("REDO"), folder.path().join("REDO.new")).unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    assert_eq!(texts(&store), entries(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]));
    assert!(!folder.path().join("REDO.new").exists());
}

#[test]
fn a_batch_for_a_database_that_was_replaced_since_is_dropped() {
    let (folder, changes) = begun();
    let store = SledStore::open(folder.path()).unwrap();
    store.replace_all(&mut std::iter::once(Ok((b"new".to_vec(), b"3".to_vec())))).unwrap();
    drop(store);
    redo::record(folder.path(), 1, &changes).unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    assert_eq!(texts(&store), entries(&[("new", "3")]));
    assert!(!folder.path().join("REDO").exists());
}

#[test]
fn a_damaged_batch_is_refused_wherever_a_bit_flipped() {
    let (folder, changes) = begun();
    let path = folder.path().join("REDO");
    redo::record(folder.path(), 1, &changes).unwrap();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, bad).unwrap();
        let error = SledStore::open(folder.path()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StateError::DamagedRedo { .. } | StateError::Source(_)), "byte {at}: {text}");
        assert!(text.contains("REDO"), "byte {at}: {text}");
    }
    fs::write(&path, good).unwrap();
    assert_eq!(all(&SledStore::open(folder.path()).unwrap()).len(), 4);
}

#[test]
fn reads_are_answered_in_the_middle_of_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    let mut large = WriteBatch::new();
    for key in 0..100_000u32 {
        large.put(key.to_be_bytes(), vec![1; 100]);
    }
    let seen = std::thread::scope(|scope| {
        let writer = scope.spawn(|| store.write(large).unwrap());
        let mut most = 0;
        while !writer.is_finished() {
            let there = |key: u32| store.get(&key.to_be_bytes()).unwrap().is_some();
            if there(0) && !there(99_999) {
                most += 1;
            }
        }
        most
    });
    assert!(seen > 0, "no read was answered between the first and the last change");
    assert_eq!(all(&store).len(), 100_000);
}

#[test]
fn a_replacement_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    store.write(batch(&[("old", "1"), ("both", "1")])).unwrap();

    let failing = [Ok((b"new".to_vec(), vec![])), Err(StateError::Source("cut off".into()))];
    assert!(matches!(store.replace_all(&mut failing.into_iter()), Err(StateError::Source(_))));
    assert_eq!(all(&store).len(), 2, "a failed replacement leaves the old entries");

    let mut scan = store.scan(b"", None);
    let mut entries = (0..50_000u32).map(|n| Ok((n.to_be_bytes().to_vec(), vec![7; 100])));
    store.replace_all(&mut entries).unwrap();
    assert_eq!(scan.next().unwrap().unwrap().0, b"both", "an earlier scan continues");
    drop(scan);
    assert_eq!(store.scan(b"", None).count(), 50_000);
    assert_eq!(store.get(b"old").unwrap(), None);
    store.write(batch(&[("zz", "after")])).unwrap();
    drop(store);

    let store = SledStore::open(folder.path()).unwrap();
    assert_eq!(store.scan(b"", None).count(), 50_001);
    let folders = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    assert_eq!(folders, ["CURRENT", "state-2"]);
}

#[test]
fn what_a_crash_left_is_removed_and_what_counts_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Killed while the first database was created.
    fs::create_dir_all(root.join("state-1.new")).unwrap();
    fs::write(root.join("state-1.new/conf"), b"half").unwrap();
    SledStore::open(root).unwrap().write(batch(&[("a", "1")])).unwrap();
    // Killed between the first folder and the pointer to it.
    fs::remove_file(root.join("CURRENT")).unwrap();
    assert_eq!(all(&SledStore::open(root).unwrap()).len(), 1);
    // Killed in the middle of a replacement.
    fs::create_dir_all(root.join("state-2")).unwrap();
    fs::write(root.join("CURRENT.new"), b"tw").unwrap();
    assert_eq!(all(&SledStore::open(root).unwrap()).len(), 1);
    assert!(!root.join("state-2").exists());
}

#[test]
fn a_pointer_that_cannot_be_followed_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    drop(SledStore::open(root).unwrap());
    let refused = |text: &str| {
        fs::write(root.join("CURRENT"), text).unwrap();
        SledStore::open(root).unwrap_err()
    };
    assert!(matches!(refused("twm-state 3\ngeneration 1\n"), StateError::NewerFormat { found: 3, .. }));
    assert!(matches!(refused("twm-state 1\n"), StateError::DamagedPointer { .. }));
    assert!(matches!(refused("\u{0}\u{0}\u{0}"), StateError::DamagedPointer { .. }));
    let error = refused("twm-state 1\ngeneration 9\n");
    assert!(error.to_string().contains("state-9 is missing"), "{error}");
    assert!(root.join("state-1").exists(), "nothing is removed before the pointer is understood");
}

#[test]
fn a_store_of_the_first_version_is_taken_over_and_marked_as_new() {
    let (folder, changes) = begun();
    let pointer = folder.path().join("CURRENT");
    fs::write(&pointer, "twm-state 1\ngeneration 1\n").unwrap();
    SledStore::open(folder.path()).unwrap().write(changes).unwrap();
    assert_eq!(fs::read_to_string(pointer).unwrap(), "twm-state 2\ngeneration 1\n");
}

#[test]
fn scans_go_on_while_batches_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = SledStore::open(folder.path()).unwrap();
    let fixed: Vec<(String, &str)> = (0..2_000).map(|n| (format!("fixed-{n:05}"), "v")).collect();
    let fixed: Vec<(&str, &str)> = fixed.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    store.write(batch(&fixed)).unwrap();

    let scans = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while scans.load(Ordering::Relaxed) < 10 {
                round += 1;
                let mut other = WriteBatch::new();
                for key in 0..200 {
                    other.put(format!("other-{}", key * round % 1_000), vec![1; 200]);
                }
                store.write(other).unwrap();
            }
        });
        for _ in 0..10 {
            assert_eq!(store.scan(b"fixed", Some(b"fixee")).count(), 2_000);
            scans.fetch_add(1, Ordering::Relaxed);
        }
    });
}
