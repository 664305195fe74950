//! The dataset in a folder of an HDFS.
//!
//! Published files lie as on files, so that those of the original program are read as they lie, also under its names
//! (`.gz`). All nodes share them.
//!
//! ```text
//! 22/22013880.twt                                  a published file
//! 22/22013880.twt.unreadable[-N]                   an unreadable file, set aside
//! .tmp/STORAGE-EPOCH/22013880.twt.LEASE/N/draft    a draft that is being written; rN if it is rewritten
//! .tmp/STORAGE-EPOCH/done/22013880.twt.LEASE/draft a finished draft
//! .tmp/STORAGE-EPOCH/done/22013880.twt.LEASE/      without the file: the proof of its publication
//! .tmp.of-former-owner/STORAGE-EPOCH[-N]           drafts of a former owner
//! .twm-output                                      whose output it is
//! .provenance/NAME.jsonl.gz                        batches of provenance
//! ```
//!
//! # Drafts
//!
//! A draft is written to a file in the node's *spool* folder. At each save point, what is new in it is appended to the draft's
//! file on HDFS and synced there (`hsync`), so that another node can resume it. The spool need not survive the node.
//!
//! A file on HDFS has one writer. If it fails (its datanodes die, or another node ends it), the draft goes on in a next file
//! `N`, from the beginning. All files of a draft have the same bytes from the start, as far as they go, except one that is
//! rewritten when the draft is finished. Whoever resumes ends the writing of the old draft's file first, which settles its
//! length, and reads it up to its save point; there can be more bytes than were synced. The old writer, if it was only
//! frozen, notices and begins its next file.
//!
//! # Publication
//!
//! Each step is one rename, which a name node makes atomically and durably:
//!
//! 1. When a draft is finished, its last file is closed, and the folder of this file, which has no other, is renamed into
//!    `done`. What is there is complete. A draft that was cut short by the death of its writer is closed by the name node as
//!    well, but is not there, and nothing creates files there: a creation that is delivered late makes one in the old place.
//! 2. Publication renames the file out of that folder to its own name, over an older one. Nothing else takes the file without
//!    the folder, so an *empty* folder proves that its draft was published; it stays until the draft is discarded. A missing
//!    folder proves nothing: the draft was lost or discarded.
//!
//! Thus an answer that was lost is no matter, nor how often and by whom a publication is repeated: the second rename finds no
//! source, and the folder says whether that was all right. A publisher that was frozen before its rename, or a request that
//! is delivered late, finds no source either once another node has published and the cluster has discarded the draft; it
//! never replaces a later file. A discard removes the unfinished folder first and the finished one second: a writer that
//! finishes at the same time moves its folder from the former to the latter.
//!
//! # Owners
//!
//! `done` is created when a node opens the output, between two looks at the marker; nothing else creates it, and renames
//! create no folders. A new owner writes its marker first, and then moves the folders of all lower epochs away.
//! A node of a former owner can finish and publish nothing after that, whatever it still believes: its drafts were moved,
//! and its `done` is missing. If a node opens the output meanwhile, it either sees the new marker at its second look and
//! removes the folder, or has created one that is moved away. Folders of the same epoch and another storage belong to nodes that lost the race for an empty output.

mod draft;
mod owner;
mod provenance;
mod publication;
mod remote;
mod store;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use owner::HdfsOutput;
pub use store::HdfsStore;

use draft::{RemoteFollowers, RemoteProfiles, RemoteTimeline};

use super::cache::Cache;
use super::duplicates::FILTER_BYTES;
use super::followers_draft::FileFollowersDraft;
use super::profiles_draft::FileProfilesDraft;
use super::provenance::BatchName;
use super::published::{self, PublishedFiles as _, Version, stamp};
use super::resuming::{missing, verified};
use super::sink::Sink;
use super::spool::{DraftId, Spool};
use super::timeline_draft::{DraftFiles, FileTimelineDraft};
use super::{
    Account, Compression, Dataset, DatasetError, FileKey, Followers, FollowersDraft, FollowersFormat, ItemId,
    Lines, Marker, ProfilesDraft, Result, SavePoint, Stat, TimelineDraft, post_id,
};
use crate::env::Clock;
use crate::ids::PostId;
use crate::net::hdfs::Hdfs;

/// How often the output's marker is read.
const OWNER_CHECK: Duration = Duration::from_secs(60);

/// Options of a dataset in a folder of an HDFS.
#[derive(Clone)]
pub struct HdfsDatasetOptions {
    /// The folder, opened.
    pub hdfs: Hdfs,
    /// A local folder of this node for drafts and downloads, created if necessary. What an earlier process left in it
    /// is removed.
    pub spool: PathBuf,
    /// How new files are compressed.
    pub compression: Compression,
    /// How follower lists are written.
    pub followers: FollowersFormat,
    /// The owner of the output.
    pub owner: Marker,
    /// Finds a post's id in a line that was written earlier; it must agree with the ids pushed.
    pub item_id: ItemId,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl HdfsDatasetOptions {
    /// The usual settings: gzip, follower lists as text.
    pub fn new(hdfs: Hdfs, spool: PathBuf, owner: Marker, clock: Arc<dyn Clock>) -> Self {
        let (compression, followers) = (Compression::default(), FollowersFormat::Text);
        Self { hdfs, spool, compression, followers, owner, item_id: post_id, clock }
    }
}

/// A dataset in a folder of an HDFS, as described in the module's documentation.
pub struct HdfsDataset {
    inner: Arc<Inner>,
    compression: Compression,
    followers: FollowersFormat,
    item_id: ItemId,
    /// Memory of one list's duplicate filter, in bytes.
    filter_bytes: usize,
    clock: Arc<dyn Clock>,
    /// When the marker was read, by the clock.
    owner_checked: Mutex<Option<Duration>>,
}

/// What drafts share with their dataset.
struct Inner {
    hdfs: Hdfs,
    spool: Spool,
    owner: Marker,
    /// The drafts that this process has begun to write and has not discarded.
    drafts: Mutex<HashSet<DraftId>>,
    /// Numbers the files of drafts.
    files: AtomicU64,
    /// Files that were read and will probably be read again.
    cache: Mutex<Cache>,
}

impl HdfsDataset {
    /// Opens the dataset of an output that belongs to `options.owner`, and moves drafts of former owners away.
    ///
    /// # Errors
    /// The spool or the file system cannot be used, or the output belongs to another owner by now.
    pub fn open(options: HdfsDatasetOptions) -> Result<Self> {
        let HdfsDatasetOptions { hdfs, spool, compression, followers, owner, item_id, clock } = options;
        let (drafts, files, cache) = Default::default();
        let inner = Inner { hdfs, spool: Spool::open(spool, item_id)?, owner, drafts, files, cache };
        inner.enter()?;
        let (filter_bytes, owner_checked) = (FILTER_BYTES, Mutex::new(Some(clock.monotonic())));
        Ok(Self {
            inner: Arc::new(inner),
            compression,
            followers,
            item_id,
            filter_bytes,
            clock,
            owner_checked,
        })
    }

    /// Ensures that the output still belongs to this cluster: another one may have adopted it.
    fn look_at_owner(&self) -> Result<()> {
        let mut checked = self.owner_checked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        if checked.is_some_and(|at| now < at + OWNER_CHECK) {
            return Ok(());
        }
        self.inner.read_owner()?;
        *checked = Some(now);
        Ok(())
    }

    fn files(&self) -> DraftFiles {
        DraftFiles { published: self.inner.clone(), item_id: self.item_id }
    }

    /// An empty file in the spool.
    fn sink(&self, draft: &DraftId) -> Result<Sink> {
        Ok(self.inner.spool.create(draft, self.compression)?.volatile())
    }

    fn timeline(&self, draft: DraftId, file: FileTimelineDraft) -> Box<dyn TimelineDraft> {
        Box::new(RemoteTimeline::new(self.inner.clone(), draft, file))
    }

    fn followers_draft(&self, draft: &DraftId, sink: Sink) -> Result<FileFollowersDraft> {
        let (key, lease) = (draft.key.clone(), draft.lease);
        let layout = self.inner.spool.layout();
        FileFollowersDraft::new(key, lease, layout, sink, self.followers, self.filter_bytes)
    }

    /// Downloads an old draft up to a save point into the file of a new one, not yet verified.
    fn copy_draft(&self, old: &DraftId, new: &DraftId, saved: SavePoint) -> Result<Sink> {
        self.look_at_owner()?;
        if old.lease == new.lease {
            return Err(DatasetError::SameLease { key: new.key.clone(), lease: new.lease });
        }
        self.inner.begin(new)?;
        if saved.token == 0 {
            return self.sink(new);
        }
        let copied = self.inner.copy_up_to(old, saved.token, new, self.compression)?;
        let mut sink =
            copied.ok_or_else(|| missing(&old.key, old.lease, "its file does not reach its save point"))?;
        // A file has one codec: the draft may be of a node with another setting.
        sink.continue_with(self.inner.spool.codec(new)?);
        Ok(sink.volatile())
    }
}

impl Inner {
    fn drafts(&self) -> MutexGuard<'_, HashSet<DraftId>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a file, for messages.
    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("{}/{name}", self.hdfs.place()))
    }
}

impl Dataset for HdfsDataset {
    fn begin_timeline(&self, account: &Account, lease: u64) -> Result<Box<dyn TimelineDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.timeline(), lease };
        self.inner.begin(&draft)?;
        let sink = self.sink(&draft)?;
        let file = FileTimelineDraft::new(draft.key.clone(), self.files(), sink, self.filter_bytes);
        Ok(self.timeline(draft, file))
    }

    fn begin_followers(&self, account: &Account, lease: u64) -> Result<Box<dyn FollowersDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.followers(), lease };
        self.inner.begin(&draft)?;
        let file = self.followers_draft(&draft, self.sink(&draft)?)?;
        Ok(Box::new(RemoteFollowers::new(self.inner.clone(), draft, file)))
    }

    fn resume_timeline(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn TimelineDraft>> {
        let key = account.timeline();
        let old = DraftId { key: key.clone(), lease: old_lease };
        let new = DraftId { key: key.clone(), lease: new_lease };
        let sink = self.copy_draft(&old, &new, saved)?;
        let file = FileTimelineDraft::resumed(key, self.files(), sink, self.filter_bytes);
        match verified(file, saved, TimelineDraft::items) {
            Ok(file) => Ok(self.timeline(new, file)),
            Err(why) => {
                self.inner.spool.remove(&new)?;
                Err(why.into_error(&old.key, old_lease))
            }
        }
    }

    fn resume_followers(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn FollowersDraft>> {
        let key = account.followers();
        let old = DraftId { key: key.clone(), lease: old_lease };
        let new = DraftId { key, lease: new_lease };
        let sink = self.copy_draft(&old, &new, saved)?;
        let mut file = self.followers_draft(&new, sink)?;
        let file = file.read_back().map(|()| file);
        match verified(file, saved, FollowersDraft::items) {
            Ok(file) => Ok(Box::new(RemoteFollowers::new(self.inner.clone(), new, file))),
            Err(why) => {
                self.inner.spool.remove(&new)?;
                Err(why.into_error(&old.key, old_lease))
            }
        }
    }

    fn begin_profiles(&self, account: &Account, lease: u64) -> Result<Box<dyn ProfilesDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.profiles(), lease };
        self.inner.begin(&draft)?;
        let sink = self.sink(&draft)?;
        let file = FileProfilesDraft::new(draft.key.clone(), self.inner.clone(), sink);
        Ok(Box::new(RemoteProfiles::new(self.inner.clone(), draft, file)))
    }

    fn resume_profiles(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn ProfilesDraft>> {
        let key = account.profiles();
        let old = DraftId { key: key.clone(), lease: old_lease };
        let new = DraftId { key: key.clone(), lease: new_lease };
        let sink = self.copy_draft(&old, &new, saved)?;
        let file = FileProfilesDraft::resumed(key, self.inner.clone(), sink);
        match verified(file, saved, ProfilesDraft::items) {
            Ok(file) => Ok(Box::new(RemoteProfiles::new(self.inner.clone(), new, file))),
            Err(why) => {
                self.inner.spool.remove(&new)?;
                Err(why.into_error(&old.key, old_lease))
            }
        }
    }

    fn publish(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.look_at_owner()?;
        self.inner.publish(&DraftId { key: key.clone(), lease })
    }

    fn discard(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.look_at_owner()?;
        let draft = DraftId { key: key.clone(), lease };
        self.inner.spool.remove(&draft)?;
        self.inner.discard(&draft)
    }

    fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        // Those of another cluster, which continues this one, would look as if nobody needed them.
        self.inner.read_owner()?;
        let mut drafts = self.inner.spool.layout().drafts()?;
        drafts.extend(self.inner.remote_drafts()?);
        drafts.extend(self.inner.drafts().iter().map(|draft| (draft.key.clone(), draft.lease)));
        drafts.sort();
        drafts.dedup();
        Ok(drafts)
    }

    fn exists(&self, key: &FileKey) -> Result<bool> {
        self.look_at_owner()?;
        Ok(self.inner.existing(key)?.is_some())
    }

    fn stamp(&self, key: &FileKey) -> Result<u64> {
        self.look_at_owner()?;
        let Some((_, found)) = self.inner.existing(key)? else { return Ok(0) };
        Ok(stamp_of(&found.into()))
    }

    fn stat(&self, key: &FileKey) -> Result<Option<Stat>> {
        self.look_at_owner()?;
        let Some((name, found)) = self.inner.existing(key)? else { return Ok(None) };
        Ok(Some(Stat { bytes: found.bytes, place: self.inner.place(&name).display().to_string() }))
    }

    fn newest_post(&self, account: &Account) -> Result<Option<PostId>> {
        self.look_at_owner()?;
        let key = account.timeline();
        // Read anew, and kept for the update that asks.
        self.inner.cache().forget(&key);
        let newest = published::newest_post(&self.inner.caching(), account, self.item_id);
        if newest.is_err() {
            self.inner.cache().forget(&key);
        }
        newest
    }

    fn open_timeline(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        self.inner.cache().forget(&account.timeline());
        published::open_timeline(&*self.inner, account, self.item_id)
    }

    fn open_followers(&self, account: &Account) -> Result<Option<Followers>> {
        self.look_at_owner()?;
        published::open_followers(&*self.inner, account)
    }

    fn open_profiles(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        self.inner.cache().forget(&account.profiles());
        published::open_profiles(&*self.inner, account)
    }

    fn set_aside(&self, key: &FileKey, stamp: u64) -> Result<Option<String>> {
        self.look_at_owner()?;
        self.inner.cache().forget(key);
        let Some(found) = self.inner.open(key)?.filter(|found| stamp_of(&found.version) == stamp) else {
            return Ok(None);
        };
        Ok(self.inner.set_aside(key, &found)?.map(|to| to.display().to_string()))
    }

    fn append_provenance(&self, name: &BatchName, batch: &[u8]) -> Result<()> {
        self.look_at_owner()?;
        provenance::put(&self.inner.hdfs, name, batch.to_vec()).map(drop)
    }
}

/// Distinguishes a version of a file from all others; 0 for one that is not in an HDFS.
fn stamp_of(found: &Version) -> u64 {
    match found {
        Version::Stored { modified, bytes } => {
            stamp([*modified, *bytes].into_iter().flat_map(u64::to_le_bytes))
        }
        _ => 0,
    }
}

impl fmt::Debug for HdfsDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HdfsDataset({})", self.inner.hdfs.place())
    }
}
