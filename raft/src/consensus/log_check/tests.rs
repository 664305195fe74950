//! Damage to whole logs on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::testing::log_id;
use raft_log::RaftLog;
use tempfile::TempDir;

use super::records::Records;
use crate::consensus::LogStore;
use crate::consensus::log_codec::LogTypes;
use crate::consensus::types::{Entry, PackedCommand, Payload, TypeConfig, Vote};
use crate::model::MemberId;

const OWNER: &str = "disk-1";

struct Log {
    dir: TempDir,
}

impl Log {
    /// A closed log of `entries` entries of `bytes` bytes.
    async fn of(entries: u64, bytes: usize) -> Self {
        let log = Self { dir: tempfile::tempdir().unwrap() };
        let mut store = LogStore::create(&log.folder(), OWNER).unwrap();
        store.save_vote(&Vote::new(3, MemberId::from(1))).await.unwrap();
        for index in 0..entries {
            let payload = Payload::Normal(PackedCommand(Bytes::from(vec![index as u8; bytes])));
            let entry = Entry { log_id: log_id::<TypeConfig>(3, MemberId::from(1), index), payload };
            store.append([entry], IOFlushed::noop()).await.unwrap();
        }
        store.save_vote(&Vote::new(4, MemberId::from(1))).await.unwrap();
        log
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn files(&self) -> Vec<PathBuf> {
        super::files(&self.folder()).unwrap()
    }

    fn newest(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        contents(&self.folder())
    }

    /// The error with which it is refused. The log must be unchanged.
    fn refused(&self, owner: &str) -> String {
        let before = self.contents();
        let Err(error) = LogStore::open(&self.folder(), owner) else { panic!("the log was opened") };
        assert!(before == self.contents(), "a refused log is left as it is");
        error.to_string()
    }

    async fn last(&self) -> (Option<u64>, Option<Vote>) {
        let mut store = LogStore::open(&self.folder(), OWNER).unwrap();
        let last = store.get_log_state().await.unwrap().last_log_id.map(|id| id.index);
        (last, store.read_vote().await.unwrap())
    }
}

fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// Where the records of a file begin, and its end.
fn starts(file: &[u8]) -> Vec<usize> {
    // A cut within a record leaves the ones before it.
    let ends: std::collections::BTreeSet<_> =
        (0..=file.len()).map(|cut| Records::of(&file[..cut]).end).collect();
    ends.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_was_flipped_beyond_the_file_is_refused_and_nothing_behind_it_is_cut() {
    let log = Log::of(5, 40).await;
    let good = fs::read(log.newest()).unwrap();
    let starts = starts(&good);
    // The first length of each record, except for the two checkpoints at the start.
    for pair in starts.windows(2).skip(2) {
        let mut damaged = good.clone();
        damaged[pair[0] + 4] ^= 0x01;
        fs::write(log.newest(), &damaged).unwrap();
        let error = log.refused(OWNER);
        let file = log.newest().display().to_string();
        assert!(error.contains(&format!("{file} is damaged at byte {}", pair[0])), "{error}");
        assert!(error.contains("`twm-ctl member replace N`"), "{error}");
    }
    fs::write(log.newest(), &good).unwrap();
    assert_eq!(log.last().await, (Some(4), Some(Vote::new(4, MemberId::from(1)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newest_file_whose_first_record_is_damaged_is_not_removed() {
    let log = Log::of(1, 10).await;
    let good = fs::read(log.newest()).unwrap();
    // The first checkpoint has no field; with the flag of one, the rest of the file is taken for it.
    let mut damaged = good.clone();
    damaged[5] ^= 0x01;
    fs::write(log.newest(), &damaged).unwrap();
    let error = log.refused(OWNER);
    assert!(error.contains("is damaged at byte 0"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let log = Log::of(3, 40).await;
    let good = fs::read(log.newest()).unwrap();
    let starts = starts(&good);
    let [.., entry, vote, end] = starts[..] else { panic!("{starts:?}") };
    for cut in entry..=end {
        for zeros in [0, 64] {
            let mut torn = good[..cut].to_vec();
            // A file can have its new length before it has its new bytes.
            if cut == vote || cut == entry {
                torn.resize(cut + zeros, 0);
            }
            let log = Log { dir: tempfile::tempdir().unwrap() };
            fs::create_dir(log.folder()).unwrap();
            fs::write(log.folder().join("r-00_000_000_000_000_000_000.wal"), torn).unwrap();
            let last = if cut < vote { 1 } else { 2 };
            let vote =
                if cut < end { Vote::new(3, MemberId::from(1)) } else { Vote::new(4, MemberId::from(1)) };
            for _ in 0..2 {
                assert_eq!(log.last().await, (Some(last), Some(vote)), "torn at byte {cut}");
            }
        }
    }
}

/// Pages of what was written since the last sync reach the disk in any order.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_power_cut_left_of_an_unsynced_end_is_cut_off_also_where_later_pages_are_there() {
    let log = Log::of(6, 3_000).await;
    let good = fs::read(log.newest()).unwrap();
    let starts = starts(&good);
    // Nothing proves that the last four entries and the vote behind them were synced.
    let [.., second, _, _, _, _, _] = starts[..] else { panic!("{starts:?}") };
    let pages = second / 4_096 + 1..good.len() / 4_096;
    assert!(pages.len() >= 2, "{pages:?}");
    for page in pages {
        let mut left = good.clone();
        left[page * 4_096..(page + 1) * 4_096].fill(0);
        fs::write(log.newest(), &left).unwrap();
        let first_lost = starts.iter().rposition(|start| *start <= page * 4_096).unwrap();
        // Two checkpoints and a vote precede the entries.
        let last = first_lost as u64 - 4;
        for _ in 0..2 {
            assert_eq!(log.last().await, (Some(last), Some(Vote::new(3, MemberId::from(1)))), "page {page}");
        }
    }
    // The end of the last record is in a page that was not written, and the file has its full length.
    let mut left = good.clone();
    let end = left.len();
    left[end - 6..].fill(0);
    fs::write(log.newest(), &left).unwrap();
    assert_eq!(log.last().await, (Some(5), Some(Vote::new(3, MemberId::from(1)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_synced_and_is_gone_is_damage_and_nothing_is_cut_off() {
    let log = Log::of(6, 3_000).await;
    let mut store = LogStore::open(&log.folder(), OWNER).unwrap();
    let entry = |index| log_id::<TypeConfig>(3, MemberId::from(1), index);
    // The process knows that it is committed, but not that it is on this disk, so it is not recorded.
    store.save_committed(Some(entry(5))).await.unwrap();
    assert_eq!(store.read_committed().await.unwrap(), None);
    let more = Entry { log_id: entry(6), payload: Payload::Blank };
    store.append([more], IOFlushed::noop()).await.unwrap();
    // Returns once everything before it is synced as well.
    store.save_vote(&Vote::new(4, MemberId::from(1))).await.unwrap();
    store.save_committed(Some(entry(6))).await.unwrap();
    assert_eq!(store.read_committed().await.unwrap(), Some(entry(6)));
    drop(store);
    let good = fs::read(log.newest()).unwrap();
    for page in 1..good.len() / 4_096 {
        let mut damaged = good.clone();
        damaged[page * 4_096..(page + 1) * 4_096].fill(0);
        fs::write(log.newest(), &damaged).unwrap();
        let error = log.refused(OWNER);
        assert!(error.contains("is damaged at byte") && error.contains("loses data"), "page {page}: {error}");
    }
    fs::write(log.newest(), &good).unwrap();
    assert_eq!(log.last().await.0, Some(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bit_that_was_flipped_in_the_last_records_is_damage_wherever_it_is() {
    let log = Log::of(2, 50).await;
    let good = fs::read(log.newest()).unwrap();
    let starts = starts(&good);
    for bit in 8 * starts[3]..8 * good.len() {
        let mut damaged = good.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(log.newest(), &damaged).unwrap();
        let error = log.refused(OWNER);
        assert!(error.contains("is damaged at byte"), "bit {bit}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_missing_or_empty_is_refused_and_not_made() {
    let log = Log { dir: tempfile::tempdir().unwrap() };
    let error = LogStore::open(&log.folder(), OWNER).err().unwrap().to_string();
    assert!(error.contains("log is missing: its volume may not be mounted"), "{error}");
    assert!(!log.folder().exists());

    fs::create_dir(log.folder()).unwrap();
    let error = log.refused(OWNER);
    assert!(error.contains("holds no Raft log: its volume may not be mounted"), "{error}");
    assert_eq!(fs::read_dir(log.folder()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_another_data_directory_is_refused_and_left_alone() {
    let log = Log::of(2, 10).await;
    // The same if its end is torn, which only its owner may cut off.
    let torn = fs::read(log.newest()).unwrap();
    fs::write(log.newest(), &torn[..torn.len() - 1]).unwrap();
    let error = log.refused("disk-2");
    assert!(error.contains("belongs to data directory disk-1, and this one is disk-2"), "{error}");
    assert_eq!(log.last().await, (Some(1), Some(Vote::new(3, MemberId::from(1)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_an_owner_is_refused() {
    let log = Log { dir: tempfile::tempdir().unwrap() };
    fs::create_dir(log.folder()).unwrap();
    let config = Arc::new(raft_log::Config::new(log.folder().display()));
    drop(RaftLog::<LogTypes>::open(config).unwrap());
    let error = log.refused(OWNER);
    assert!(error.contains("does not say which data directory it belongs to"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_log_takes_the_place_of_no_other_and_only_of_an_interrupted_attempt() {
    let log = Log::of(2, 10).await;
    let before = log.contents();
    let error = LogStore::create(&log.folder(), "disk-2").err().unwrap().to_string();
    assert!(error.contains("belongs to data directory disk-1"), "{error}");
    assert!(before == log.contents());
    // Repeats an interrupted first start of the same data directory.
    drop(LogStore::create(&log.folder(), OWNER).unwrap());
    assert_eq!(log.last().await.0, Some(1));

    let other = Log { dir: tempfile::tempdir().unwrap() };
    fs::create_dir(other.dir.path().join("log.new")).unwrap();
    fs::write(other.dir.path().join("log.new/r-00_000_000_000_000_000_000.wal"), "half").unwrap();
    drop(LogStore::create(&other.folder(), OWNER).unwrap());
    assert!(!other.dir.path().join("log.new").exists());
    assert_eq!(other.last().await, (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_known_from_every_file_and_damage_or_absence_of_an_older_one_is_refused() {
    // Three files of 8 MiB and the start of a fourth.
    let log = Log::of(26, 1 << 20).await;
    assert_eq!(log.last().await, (Some(25), Some(Vote::new(4, MemberId::from(1)))));
    let files = log.files();
    assert!(files.len() >= 3, "{files:?}");
    assert!(log.refused("disk-2").contains("belongs to data directory disk-1"));

    let good = fs::read(&files[1]).unwrap();
    for (name, bad) in [
        ("a flipped byte", {
            let mut bad = good.clone();
            bad[good.len() / 2] ^= 4;
            bad
        }),
        ("a cut end", good[..good.len() - 9].to_vec()),
    ] {
        fs::write(&files[1], bad).unwrap();
        let error = log.refused(OWNER);
        assert!(error.contains("ChunkId"), "{name}: {error}");
    }
    fs::remove_file(&files[1]).unwrap();
    log.refused(OWNER);
    fs::write(&files[1], &good).unwrap();

    let oldest = fs::read(&files[0]).unwrap();
    fs::remove_file(&files[0]).unwrap();
    let error = log.refused(OWNER);
    assert!(error.contains("lacks entry 0, its oldest"), "{error}");
    fs::write(&files[0], oldest).unwrap();
    assert_eq!(log.last().await, (Some(25), Some(Vote::new(4, MemberId::from(1)))));
}
