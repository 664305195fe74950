//! Repositories built here, whole, cut and damaged.

use std::path::Path;

use super::*;

/// Collections in the order of their names, as a source has them.
pub(in crate::source::bluesky) fn collections() -> Vec<String> {
    vec!["app.bsky.feed.post".to_owned(), "app.bsky.feed.repost".to_owned()]
}

pub(in crate::source::bluesky) const DID: &str = "did:plc:abcdefghijklmnopqrstuvwx";

/// Writes DAG-CBOR.
fn head(major: u8, argument: usize, out: &mut Vec<u8>) {
    match argument {
        0..24 => out.push(major << 5 | argument as u8),
        24..256 => out.extend([major << 5 | 24, argument as u8]),
        _ => {
            out.push(major << 5 | 25);
            out.extend((argument as u16).to_be_bytes());
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    head(3, text.len(), out);
    out.extend(text.as_bytes());
}

fn link(cid: Option<Cid>, out: &mut Vec<u8>) {
    match cid {
        None => out.push(0xf6),
        Some(cid) => {
            out.extend([0xd8, 42, 0x58, 37, 0]);
            out.extend(cid.to_bytes());
        }
    }
}

/// The blocks of a repository.
#[derive(Default, Clone)]
struct Builder {
    blocks: Vec<(Cid, Vec<u8>)>,
}

impl Builder {
    fn put(&mut self, block: Vec<u8>) -> Cid {
        let cid = Cid::of(&block);
        self.blocks.push((cid, block));
        cid
    }

    fn node(&mut self, left: Option<Cid>, entries: &[(String, Cid, Option<Cid>)]) -> Cid {
        let mut block = vec![0xa2];
        text("e", &mut block);
        head(4, entries.len(), &mut block);
        let mut before = "";
        for (key, value, right) in entries {
            let shared = key.bytes().zip(before.bytes()).take_while(|(a, b)| a == b).count();
            block.push(0xa4);
            text("k", &mut block);
            head(2, key.len() - shared, &mut block);
            block.extend(&key.as_bytes()[shared..]);
            text("p", &mut block);
            head(0, shared, &mut block);
            text("t", &mut block);
            link(*right, &mut block);
            text("v", &mut block);
            link(Some(*value), &mut block);
            before = key;
        }
        text("l", &mut block);
        link(left, &mut block);
        self.put(block)
    }

    /// A tree over sorted keys: every fourth key is above the three between.
    fn tree(&mut self, keys: &[(String, Cid)]) -> Option<Cid> {
        if keys.is_empty() {
            return None;
        }
        let entries: Vec<(String, Cid, Option<Cid>)> = match keys.len() {
            0..4 => keys.iter().map(|(key, cid)| (key.clone(), *cid, None)).collect(),
            _ => {
                let step = keys.len().div_ceil(4);
                let mut entries = Vec::new();
                for part in keys[step..].chunks(step) {
                    let right = self.tree(&part[1..]);
                    entries.push((part[0].0.clone(), part[0].1, right));
                }
                let left = self.tree(&keys[..step]);
                return Some(self.node(left, &entries));
            }
        };
        Some(self.node(None, &entries))
    }

    /// The commit over a tree.
    fn commit(&mut self, did: &str, tree: Option<Cid>) -> Cid {
        let mut block = vec![0xa3];
        text("did", &mut block);
        text(did, &mut block);
        text("data", &mut block);
        link(tree, &mut block);
        text("version", &mut block);
        head(0, 3, &mut block);
        self.put(block)
    }

    fn car(&self, root: Cid) -> Vec<u8> {
        let mut header = vec![0xa2];
        text("roots", &mut header);
        header.push(0x81);
        link(Some(root), &mut header);
        text("version", &mut header);
        head(0, 1, &mut header);
        let mut car = vec![header.len() as u8];
        car.extend(header);
        // Not in the order of the tree.
        for (cid, block) in self.blocks.iter().rev() {
            let mut length = Cid::BYTES + block.len();
            while length >= 128 {
                car.push(length as u8 | 128);
                length >>= 7;
            }
            car.push(length as u8);
            car.extend(cid.to_bytes());
            car.extend(block);
        }
        car
    }
}

fn record(words: &str) -> Vec<u8> {
    let mut block = vec![0xa1];
    text("text", &mut block);
    text(words, &mut block);
    block
}

/// The CAR of a repository with these keys; a record's text is its key.
pub(in crate::source::bluesky) fn car_of(keys: &[&str]) -> Vec<u8> {
    let mut builder = Builder::default();
    let mut keys: Vec<(String, Cid)> =
        keys.iter().map(|key| (String::from(*key), builder.put(record(key)))).collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    let tree = builder.tree(&keys).unwrap_or_else(|| builder.node(None, &[]));
    let root = builder.commit(DID, Some(tree));
    builder.car(root)
}

/// Reads a CAR in pieces of `piece` bytes.
fn read(car: &[u8], piece: usize, folder: &Path) -> Result<Vec<(usize, String)>, RepositoryError> {
    let mut incoming = Incoming::new(folder, 1 << 20, &Room::new(1 << 30));
    for piece in car.chunks(piece) {
        incoming.push(piece)?;
    }
    let mut records = incoming.finish(DID)?.into_records(&collections());
    let mut read = Vec::new();
    while let Some(record) = records.next()? {
        assert_eq!(
            record.value.as_deref(),
            Some(&*format!("{{\"text\":\"{}/{}\"}}", collections()[record.collection], record.key))
        );
        read.push((record.collection, record.key.to_string()));
    }
    Ok(read)
}

/// Keys of posts and reposts among likes, follows and a profile.
fn keys(count: usize) -> Vec<String> {
    let mut keys = vec!["app.bsky.actor.profile/self".to_owned(), "app.bsky.feed.postgate/3zzz".to_owned()];
    for n in 0..count {
        let collection = ["feed.post", "feed.like", "feed.repost", "graph.follow", "feed.threadgate"][n % 5];
        keys.push(format!("app.bsky.{collection}/3k{:05}", (n * 7919) % 100_000));
    }
    keys
}

fn expected(keys: &[String]) -> Vec<(usize, String)> {
    let mut expected: Vec<(String, usize)> = Vec::new();
    for key in keys {
        let (collection, key) = key.split_once('/').unwrap();
        expected.extend(
            collections().iter().position(|other| other == collection).map(|at| (key.to_owned(), at)),
        );
    }
    expected.sort();
    expected.into_iter().rev().map(|(key, collection)| (collection, key)).collect()
}

#[test]
fn records_come_newest_first_over_all_collections_and_others_stay_out() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, 2, 5, 37, 600] {
        let keys = keys(count);
        let car = car_of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        for piece in [1, 7, 4096, usize::MAX] {
            assert_eq!(
                read(&car, piece, folder.path()).unwrap(),
                expected(&keys),
                "{count} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn a_repository_that_was_cut_anywhere_is_never_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(40);
    let car = car_of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    for length in 0..car.len() {
        // A cut between blocks leaves out some, of which one is missed or none is read.
        match read(&car[..length], 64, folder.path()) {
            Ok(records) => assert_eq!(records, expected(&keys), "cut at {length}"),
            Err(RepositoryError::Damaged(_)) => {}
            Err(other) => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let keys = keys(25);
    let car = car_of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = 0;
    for at in 0..car.len() {
        for bit in 0..8 {
            let mut flipped = car.clone();
            flipped[at] ^= 1 << bit;
            match read(&flipped, 512, folder.path()) {
                // In a block that nobody asks for.
                Ok(records) => assert_eq!(records, expected(&keys), "byte {at}, bit {bit}"),
                Err(RepositoryError::Damaged(_) | RepositoryError::TooLarge { .. }) => found += 1,
                Err(other) => panic!("{at}: {other}"),
            }
        }
    }
    assert!(found > car.len(), "only {found} of {} bits", 8 * car.len());
}

#[test]
fn a_tree_that_repeats_itself_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Builder::default();
    let post = builder.put(record("x"));
    let key = |n: u8| format!("app.bsky.feed.post/3k{n:02}");
    let mut below = builder.node(None, &[(key(0), post, None)]);
    // Forty levels of which each links the one below twice: 2^40 records in 40 blocks.
    for level in 1..=40 {
        below = builder.node(Some(below), &[(key(level), post, Some(below))]);
    }
    let root = builder.commit(DID, Some(below));
    let error = read(&builder.car(root), 4096, folder.path()).unwrap_err().to_string();
    assert!(error.contains("not in order"), "{error}");
}

#[test]
fn an_endless_path_a_foreign_root_and_too_much_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Builder::default();
    let mut below = builder.node(None, &[]);
    for _ in 0..200 {
        below = builder.node(Some(below), &[]);
    }
    let root = builder.commit(DID, Some(below));
    let error = read(&builder.car(root), 4096, folder.path()).unwrap_err().to_string();
    assert!(error.contains("deeper"), "{error}");
    let root = builder.commit("did:plc:other", Some(below));
    let error = read(&builder.car(root), 4096, folder.path()).unwrap_err().to_string();
    assert!(error.contains("another account"), "{error}");
    let mut incoming = Incoming::new(folder.path(), 10, &Room::new(1 << 30));
    assert!(matches!(incoming.push(&[58; 11]), Err(RepositoryError::TooLarge { .. })));
}

#[test]
fn a_repository_larger_than_memory_is_spooled_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let (keys, mut builder) = (keys(10), Builder::default());
    let words = "w".repeat(900_000);
    for n in 0..8 {
        let mut block = vec![0xa1];
        text("text", &mut block);
        block.extend([3 << 5 | 26]);
        block.extend((words.len() as u32).to_be_bytes());
        block.extend(words.as_bytes());
        block[1] = b'a' + n;
        builder.put(block);
    }
    let small = car_of(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    let padding = builder.car(Cid::of(b""));
    // Blocks that nobody asks for, behind those of the repository.
    let car = [&small[..], &padding[1 + usize::from(padding[0])..]].concat();
    let mut incoming = Incoming::new(folder.path(), 1 << 30, &Room::new(1 << 30));
    for piece in car.chunks(100_000) {
        incoming.push(piece).unwrap();
    }
    assert!(matches!(incoming.spool, Spool::File(_)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays after a crash");
    let mut records = incoming.finish(DID).unwrap().into_records(&collections());
    let first = records.next().unwrap().unwrap();
    assert_eq!((first.collection, first.key.to_string()), expected(&keys)[0]);
    let room = Room::new(car.len() as u64);
    let take = |incoming: &mut Incoming| car.chunks(100_000).try_for_each(|piece| incoming.push(piece));
    let (mut one, mut other) =
        (Incoming::new(folder.path(), 1 << 30, &room), Incoming::new(folder.path(), 1 << 30, &room));
    take(&mut one).unwrap();
    let read = one.finish(DID).unwrap();
    assert!(matches!(take(&mut other), Err(RepositoryError::NoRoom { .. })), "it is taken while it is read");
    drop((read, other));
    take(&mut Incoming::new(folder.path(), 1 << 30, &room)).unwrap();
    let mut no_folder = Incoming::new(Path::new("/nonexistent"), 1 << 30, &Room::new(1 << 30));
    let failed = car.chunks(100_000).find_map(|piece| no_folder.push(piece).err()).unwrap().to_string();
    assert!(failed.contains("/nonexistent"), "{failed}");
}
