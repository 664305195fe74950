use std::fs;
use std::path::Path;

use super::*;
use crate::env::{Entropy, SeededEntropy};
use crate::state::{Entry, MAX_VALUE_BYTES, MemoryStore, StateStore};

fn entries(seed: u64, count: u64) -> Vec<Entry> {
    let entropy = SeededEntropy::new(seed);
    let value = |n: u64| vec![n as u8; (entropy.next_u64() % 500) as usize];
    (0..count).map(|n| (n.to_be_bytes().to_vec(), value(n))).collect()
}

fn write(path: &Path, entries: &[Entry]) -> SnapshotInfo {
    let mut writer = SnapshotWriter::create(path, b"the header").unwrap();
    for (key, value) in entries {
        writer.put(key, value).unwrap();
    }
    writer.finish().unwrap()
}

fn read(path: &Path) -> Result<Vec<Entry>, SnapshotError> {
    SnapshotReader::open(path)?.collect()
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.snapshot");
    for count in [0, 1, 10_000] {
        let entries = entries(1, count);
        let info = write(&path, &entries);
        assert_eq!(info, SnapshotInfo { bytes: fs::metadata(&path).unwrap().len(), entries: count });
        assert_eq!(SnapshotReader::open(&path).unwrap().header(), b"the header");
        assert_eq!(read(&path).unwrap(), entries);
    }
    let store = MemoryStore::new();
    let mut reader = SnapshotReader::open(&path).unwrap().map(|entry| Ok(entry?));
    store.replace_all(&mut reader).unwrap();
    assert_eq!(store.scan(b"", None).count(), 10_000);
}

#[test]
fn the_format_of_version_1_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &[(b"k".to_vec(), b"value".to_vec())]);
    let mut golden = b"twm-snap\x01\x00".to_vec();
    golden.extend(b"\x01\x0a\x00\x00\x00\xa9\xdd\x64\x76the header");
    golden.extend(b"\x02\x08\x00\x00\x00\x00\x00\x00\x00\x01\x05kvalue");
    let written = fs::read(&path).unwrap();
    let (mut masked, mut expected) = (written[..golden.len()].to_vec(), golden);
    // Checksums are verified by reading, the layout around them byte by byte.
    for bytes in [&mut masked, &mut expected] {
        bytes[15..19].fill(0);
        bytes[34..38].fill(0);
    }
    assert_eq!(masked, expected);
    assert_eq!(written.len(), expected.len() + 9 + 12);
}

#[test]
fn an_unfinished_snapshot_has_no_name_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.snapshot");
    let mut writer = SnapshotWriter::create(&path, b"").unwrap();
    writer.put(b"k", b"v").unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

    fs::write(folder.path().join("b.snapshot.new"), b"left by a crash").unwrap();
    write(&path, &[]);
    remove_unfinished(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn any_cut_and_any_flipped_bit_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &entries(2, 5));
    let good = fs::read(&path).unwrap();
    for cut in 0..good.len() {
        fs::write(&path, &good[..cut]).unwrap();
        assert!(read(&path).is_err(), "cut at {cut}");
    }
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, flipped).unwrap();
        assert!(read(&path).is_err(), "bit {bit}");
    }
    fs::write(&path, [&good[..], b"x"].concat()).unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::Damaged { why: "there is more behind the end", .. })));
    fs::write(&path, [b"twm-snap\x02\x00", &good[10..]].concat()).unwrap();
    assert!(matches!(read(&path), Err(SnapshotError::NewerFormat { found: 2, .. })));
}

#[test]
fn a_block_lost_at_its_borders_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let large: Vec<Entry> = (0..20u8).map(|n| (vec![n], vec![n; MAX_VALUE_BYTES])).collect();
    write(&path, &large);
    let good = fs::read(&path).unwrap();
    // The first block of entries follows the magic and the header block.
    let start = 10 + 9 + b"the header".len();
    let length = u32::from_le_bytes(good[start + 1..start + 5].try_into().unwrap()) as usize;
    fs::write(&path, [&good[..start], &good[start + 9 + length..]].concat()).unwrap();
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("blocks are missing"), "{error}");
}

#[test]
fn what_the_store_would_refuse_is_refused_before_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut writer = SnapshotWriter::create(&path, b"").unwrap();
    assert!(matches!(
        writer.put(b"k", &vec![0; MAX_VALUE_BYTES + 1]),
        Err(SnapshotError::TooLarge { what: "value", .. })
    ));
    assert!(writer.put(&[0; 2_000], b"").is_err());
    assert!(SnapshotWriter::create(&path, &vec![0; MAX_HEADER_BYTES + 1]).is_err());
}

#[test]
fn a_transfer_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    let entries = entries(3, 2_000);
    write(&source, &entries);
    let bytes = fs::read(&source).unwrap();
    let inbox = folder.path().join("inbox");

    SnapshotReceiver::open(&inbox, "older-1").unwrap().append(0, b"abc").unwrap();
    for (index, piece) in bytes.chunks(10_000).enumerate() {
        // A new receiver each time: the node restarted.
        let mut receiver = SnapshotReceiver::open(&inbox, "1-2-34").unwrap();
        let offset = receiver.offset();
        assert_eq!(offset, index as u64 * 10_000);
        receiver.append(offset, piece).unwrap();
        receiver.append(offset, piece).unwrap();
        assert!(matches!(
            receiver.append(offset + 20_000, piece),
            Err(SnapshotError::Gap { here, .. }) if here == offset + piece.len() as u64
        ));
    }
    assert_eq!(fs::read_dir(&inbox).unwrap().count(), 1, "the other id's piece is gone");
    let early = SnapshotReceiver::open(&inbox, "1-2-34").unwrap().finish(bytes.len() as u64 + 1);
    assert!(matches!(early, Err(SnapshotError::WrongLength { .. })));
    let whole = SnapshotReceiver::open(&inbox, "1-2-34").unwrap().finish(bytes.len() as u64).unwrap();
    assert_eq!(whole, inbox.join("1-2-34.snapshot"));
    assert_eq!(read(&whole).unwrap(), entries);
}

#[test]
fn a_damaged_transfer_starts_anew_and_a_bad_id_is_no_path() {
    let folder = tempfile::tempdir().unwrap();
    let mut receiver = SnapshotReceiver::open(folder.path(), "1").unwrap();
    receiver.append(0, &[0; 100]).unwrap();
    assert!(matches!(receiver.finish(100), Err(SnapshotError::Damaged { .. })));
    assert_eq!(SnapshotReceiver::open(folder.path(), "1").unwrap().offset(), 0);
    for bad in ["", "../1", ".hidden", "a/b", "a\u{0}", &"x".repeat(300)] {
        assert!(matches!(SnapshotReceiver::open(folder.path(), bad), Err(SnapshotError::BadId(_))), "{bad}");
    }
}
