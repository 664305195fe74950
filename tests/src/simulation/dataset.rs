//! The real dataset on files, with a check of every published file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use api::model::StorageId;
use storage::dataset::provenance::{BatchName, read_batch};
use storage::dataset::store::{Folder, Store as _};
use storage::dataset::{
    Account, Dataset, DatasetError, FileKey, FileKind, FilesDataset, Followers, FollowersDraft, Lines,
    ProfilesDraft, Result, SavePoint, Stat, TimelineDraft, post_id,
};
use storage::env::{Entropy, SeededEntropy};
use storage::ids::{PostId, UserId};

use super::network::{Network, number};
use super::watch::Watch;

/// One draft in this many is lost before it is published.
const LOST_EVERY: u64 = 150;
/// The answer to one appended batch of provenance in this many is lost.
const UNANSWERED_EVERY: u64 = 4;

/// Batches of provenance that were read, and the files of their leases.
type Records = (BTreeSet<BatchName>, BTreeMap<u64, FileKey>);

/// A folder of files, which outlives the processes that write to it. Clones share it.
#[derive(Debug, Clone)]
pub struct WatchedDataset {
    pub storage: StorageId,
    output: PathBuf,
    pub files: Arc<FilesDataset>,
    pub network: Arc<Network>,
    pub watch: Watch,
    dice: Arc<SeededEntropy>,
    /// Stamps in the order in which they were first seen, because those of files differ between runs.
    stamps: Arc<Mutex<BTreeMap<FileKey, Vec<u64>>>>,
    /// The batches of provenance that were read, and the files of their leases.
    records: Arc<Mutex<Records>>,
}

impl WatchedDataset {
    pub fn new(
        storage: StorageId,
        output: PathBuf,
        files: FilesDataset,
        network: Arc<Network>,
        watch: Watch,
        seed: u64,
    ) -> Self {
        let dice = Arc::new(SeededEntropy::new(seed));
        Self {
            storage,
            output,
            files: Arc::new(files),
            network,
            watch,
            dice,
            stamps: Arc::default(),
            records: Arc::default(),
        }
    }

    /// Checks a file against the network: a timeline from some tweet down to the first one, all followers.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, key: &FileKey) -> std::result::Result<u64, String> {
        let user = number(&key.account.user);
        let wrong = |what: String| format!("{key} of storage {}: {what}", self.storage);
        match key.kind {
            FileKind::Timeline => {
                let lines = self.files.open_timeline(&key.account).map_err(|e| wrong(e.to_string()))?;
                let lines: Vec<String> =
                    lines.into_iter().flatten().collect::<Result<_>>().map_err(|e| wrong(e.to_string()))?;
                let newest = lines.first().and_then(|line| post_id(line)).map_or(0, |id| match id {
                    PostId::Number(number) => number,
                    PostId::Text(_) => 0,
                });
                let there = self.network.tweet_ids(user).into_iter().filter(|id| *id <= newest);
                let expected: Vec<String> = there.map(|id| self.network.tweet(user, id)).collect();
                if lines != expected {
                    return Err(wrong(format!("has {lines:?}, and not {expected:?}")));
                }
                Ok(newest)
            }
            FileKind::Profiles => self.check_profiles(key).map_err(wrong),
            FileKind::Followers => {
                let ids = self.files.open_followers(&key.account).map_err(|e| wrong(e.to_string()))?;
                let ids: Vec<UserId> =
                    ids.into_iter().flatten().collect::<Result<_>>().map_err(|e| wrong(e.to_string()))?;
                let (mut ids, mut expected): (Vec<u64>, _) =
                    (ids.iter().map(number).collect(), self.network.followers(user));
                ids.sort_unstable();
                expected.sort_unstable();
                if ids != expected {
                    return Err(wrong(format!("has {ids:?}, and not {expected:?}")));
                }
                Ok(0)
            }
        }
    }
}

impl WatchedDataset {
    /// The leases of all records of provenance. Batches do not change, so each is read once.
    ///
    /// # Errors
    /// A batch cannot be read, or two records of a publication contradict each other.
    pub fn recorded(&self) -> std::result::Result<BTreeSet<u64>, String> {
        let mut known = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, (read, recorded)) = (Folder::new(&self.output), &mut *known);
        let wrong = |error: DatasetError| format!("the provenance of storage {}: {error}", self.storage);
        for batch in place.batches().map_err(wrong)? {
            let name = batch.map_err(wrong)?.name;
            if !read.insert(name.clone()) {
                continue;
            }
            let records = read_batch(&name.to_string(), place.open_batch(&name).map_err(wrong)?);
            for record in records.map_err(wrong)? {
                let record = record.map_err(wrong)?;
                let before = recorded.insert(record.lease, record.key.clone());
                if before.is_some_and(|before| before != record.key) {
                    return Err(format!("two files have records of lease {}", record.lease));
                }
                self.watch.recorded(&record.key, record.lease);
            }
        }
        Ok(recorded.keys().copied().collect())
    }

    /// Profiles of followers, each at most once for a crawl.
    fn check_profiles(&self, key: &FileKey) -> std::result::Result<u64, String> {
        let followers = self.network.followers(number(&key.account.user));
        let lines = self.files.open_profiles(&key.account).map_err(|e| e.to_string())?;
        let mut seen = BTreeSet::new();
        for line in lines.into_iter().flatten() {
            let line = line.map_err(|e| e.to_string())?;
            let kept: serde_json::Value = serde_json::from_str(&line).map_err(|e| e.to_string())?;
            let id = post_id(&kept["profile"].to_string());
            let Some(PostId::Number(id)) = id.filter(|_| kept["source"] == key.account.source.to_string())
            else {
                return Err(format!("has the line {line}"));
            };
            if !followers.contains(&id) || !seen.insert((kept["crawl"].as_u64(), id)) {
                return Err(format!("has the line {line} twice, or without reason"));
            }
        }
        Ok(0)
    }
}

impl Dataset for WatchedDataset {
    fn begin_timeline(&self, account: &Account, lease: u64) -> Result<Box<dyn TimelineDraft>> {
        self.files.begin_timeline(account, lease)
    }

    fn begin_followers(&self, account: &Account, lease: u64) -> Result<Box<dyn FollowersDraft>> {
        self.files.begin_followers(account, lease)
    }

    fn resume_timeline(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn TimelineDraft>> {
        self.files.resume_timeline(account, saved, old_lease, new_lease)
    }

    fn resume_followers(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn FollowersDraft>> {
        self.files.resume_followers(account, saved, old_lease, new_lease)
    }

    fn begin_profiles(&self, account: &Account, lease: u64) -> Result<Box<dyn ProfilesDraft>> {
        self.files.begin_profiles(account, lease)
    }

    fn resume_profiles(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn ProfilesDraft>> {
        self.files.resume_profiles(account, saved, old_lease, new_lease)
    }

    fn publish(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.watch.publishes(key, lease);
        // The draft was wrongly removed: the job has to run again.
        if self.dice.next_u64() % LOST_EVERY == 0 {
            self.files.discard(key, lease)?;
        }
        let before = self.files.stamp(key)?;
        self.files.publish(key, lease)?;
        if self.files.stamp(key)? != before {
            match self.check(key) {
                Ok(newest) => self.watch.replaced(self.storage, key, lease, newest),
                Err(wrong) => self.watch.fail(format!("draft {lease} was published: {wrong}")),
            }
        } else if before == 0 {
            self.watch.fail(format!("draft {lease} of {key} counts as published, and there is no file"));
        }
        Ok(())
    }

    fn discard(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.files.discard(key, lease)
    }

    fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        let mut drafts = self.files.drafts()?;
        // The order of a folder's entries differs between runs.
        drafts.sort_unstable();
        Ok(drafts)
    }

    fn exists(&self, key: &FileKey) -> Result<bool> {
        self.files.exists(key)
    }

    fn stamp(&self, key: &FileKey) -> Result<u64> {
        let stamp = self.files.stamp(key)?;
        let mut stamps = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stamps.entry(key.clone()).or_insert_with(|| vec![0]);
        let number = seen.iter().position(|other| *other == stamp).unwrap_or(seen.len());
        if number == seen.len() {
            seen.push(stamp);
        }
        Ok(number as u64)
    }

    fn stat(&self, key: &FileKey) -> Result<Option<Stat>> {
        self.files.stat(key)
    }

    fn newest_post(&self, account: &Account) -> Result<Option<PostId>> {
        self.files.newest_post(account)
    }

    fn open_timeline(&self, account: &Account) -> Result<Option<Lines>> {
        self.files.open_timeline(account)
    }

    fn open_followers(&self, account: &Account) -> Result<Option<Followers>> {
        self.files.open_followers(account)
    }

    fn open_profiles(&self, account: &Account) -> Result<Option<Lines>> {
        self.files.open_profiles(account)
    }

    fn set_aside(&self, key: &FileKey, stamp: u64) -> Result<Option<String>> {
        self.files.set_aside(key, stamp)
    }

    fn append_provenance(&self, name: &BatchName, batch: &[u8]) -> Result<()> {
        self.files.append_provenance(name, batch)?;
        if self.dice.next_u64() % UNANSWERED_EVERY == 0 {
            // It is there, and its writer does not know.
            return Err(DatasetError::Changed { path: name.stored_name().into() });
        }
        Ok(())
    }
}
