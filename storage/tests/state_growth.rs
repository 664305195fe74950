//! The state store's memory and its file stay bounded. Memory is measured for the whole process, so
//! both are one test.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use storage::env::{Entropy, SeededEntropy};
use storage::state::{SledStore, StateStore, WriteBatch};

const MIB: u64 = 1024 * 1024;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// sled frees old pages only on reads: large batches with none between them leaked gigabytes. And it
/// frees segments of its file only as it rewrites pages, or in a thread that is off unless asked for.
#[test]
fn neither_memory_nor_the_file_grows_with_the_number_of_writes() {
    let folder = tempfile::tempdir().unwrap();
    let start = resident_bytes();
    let store = SledStore::open(folder.path()).unwrap();
    let empty = resident_bytes() - start;
    assert!(empty < 16 * MIB, "an idle store holds {} MiB", empty / MIB);

    let entropy = SeededEntropy::new(1);
    for _ in 0..30 {
        let mut batch = WriteBatch::new();
        for _ in 0..20_000 {
            batch.put((entropy.next_u64() % 200_000).to_be_bytes(), vec![1; 100]);
        }
        store.write(batch).unwrap();
    }
    let grown = resident_bytes() - start;
    println!("empty {} MiB, after 30 batches {} MiB", empty / MIB, grown / MIB);
    assert!(grown < 250 * MIB, "{} MiB after 30 batches", grown / MIB);

    for round in 0..300u64 {
        let mut batch = WriteBatch::new();
        for n in 0..20 {
            let key = [b"queue".as_slice(), &((round * 20 + n) % 500).to_be_bytes()].concat();
            batch.put(key, vec![round as u8; 32 * 1024]);
        }
        for _ in 0..500 {
            batch.put((entropy.next_u64() % 200_000).to_be_bytes(), vec![2; 100]);
        }
        store.write(batch).unwrap();
        // Reading takes the time that the cleaning thread has between two checkpoints of a node.
        assert!(store.scan(&[0], Some(&[0, 0, 0, 0, 0, 0, 60])).count() > 1_000);
    }
    let file = store.size_on_disk().unwrap();
    println!("file {} MiB", file / MIB);
    assert!(file < 330 * MIB, "{} MiB for 40 MiB of entries", file / MIB);
}
