//! The state store's memory stays bounded, in a process of its own.

#![allow(clippy::unwrap_used, reason = "a failed helper fails the test")]

use storage::env::{Entropy, SeededEntropy};
use storage::state::{SledStore, StateStore, WriteBatch};

const MIB: u64 = 1024 * 1024;

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// sled frees old pages only on reads: large batches with none between them leaked gigabytes.
#[test]
fn repeated_large_batches_do_not_leak() {
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
}
