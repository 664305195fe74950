//! The dataset in a keyspace of a Cassandra cluster.
//!
//! ```text
//! settings   the version of the tables; whose output it is
//! files      the head of each file: which version is published, and by which lease; what was set aside
//! blocks     the bytes of the versions, in blocks of at most 256 KiB, 256 of them in a partition
//! drafts     the versions that leases have written, and whether they are complete
//! provenance batches of provenance
//! ```
//!
//! The blocks of a version, one behind the other, are exactly the file that a dataset on files has. A block ends with a gzip
//! member or a zstd frame, so that each can be read by itself; a member with a very large item has several blocks, whose
//! `part` counts from 0.
//!
//! A draft is written to a file in the node's *spool* folder. At each save point, what is new in it is written as blocks, so
//! that another node can resume it. The spool need not survive the node.
//!
//! # Why it holds
//! - A version has one writer and a random id. So a block is never written again with other bytes, and no row is written
//!   again after it was deleted: neither repeated writes nor clocks that differ can lose one. A draft that is resumed is
//!   copied into a version of its own.
//! - Publication is one light transaction on the head, on the condition that it still has the version that was looked at,
//!   and only if that one has a lower fence. A process that was frozen in between is refused. After a timeout, the head is
//!   read at SERIAL; the same transaction is then sent again, and holds once at most, because versions never come back.
//! - Heads and settings change by light transactions alone, everything else never: writes of both kinds to one row would be
//!   ordered by different clocks.
//! - A version is deleted if it is neither published nor set aside, and cannot be any more: with its draft, or, after
//!   another one has taken its place, with the draft of that one. Before the draft is forgotten, its blocks are deleted, so
//!   that whoever is interrupted leaves nothing that is not found.

mod blocks;
mod draft;
mod drafts;
mod heads;
mod owner;
mod provenance;
mod publication;
mod store;
mod stored;
mod tables;
mod tools;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

pub use owner::KeyspaceOutput;
pub use store::{CassandraStore, Initialized};
pub use tables::SCHEMA;
pub use tools::KeyspaceStore;

use blocks::{BLOCK_BYTES, CopyError};
use draft::{RemoteFollowers, RemoteProfiles, RemoteTimeline};
use drafts::FinishedVersion;
use heads::Head;
use publication::Updating;

use super::duplicates::FILTER_BYTES;
use super::followers_draft::FileFollowersDraft;
use super::members::Members;
use super::profiles_draft::FileProfilesDraft;
use super::provenance::BatchName;
use super::published::{self, Fence, stamp};
use super::resuming::{missing, verified};
use super::sink::Sink;
use super::spool::{DraftId, Spool};
use super::timeline_draft::{DraftFiles, FileTimelineDraft};
use super::{
    Account, Compression, Dataset, DatasetError, FileKey, Followers, FollowersDraft, FollowersFormat, ItemId,
    Lines, Marker, ProfilesDraft, Result, SavePoint, Stat, TimelineDraft, post_id,
};
use crate::durable::{FileError, Naming};
use crate::env::Clock;
use crate::ids::PostId;

/// How often the marker is read.
const OWNER_CHECK: Duration = Duration::from_secs(60);

/// Options of a dataset in a keyspace.
#[derive(Clone)]
pub struct CassandraDatasetOptions {
    /// The keyspace, opened.
    pub store: CassandraStore,
    /// A local folder of this node for drafts and downloads, created if necessary. What an earlier process left in it
    /// is removed.
    pub spool: PathBuf,
    /// How new files are compressed.
    pub compression: Compression,
    /// How follower lists are written.
    pub followers: FollowersFormat,
    /// The owner of the output.
    pub owner: Marker,
    /// Largest block, in bytes: 256 KiB. Readers take any.
    pub block_bytes: u64,
    /// Finds a post's id in a line that was written earlier; it must agree with the ids pushed.
    pub item_id: ItemId,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl CassandraDatasetOptions {
    /// The usual settings: gzip, follower lists as text.
    pub fn new(store: CassandraStore, spool: PathBuf, owner: Marker, clock: Arc<dyn Clock>) -> Self {
        let (compression, followers) = (Compression::default(), FollowersFormat::Text);
        let (block_bytes, item_id) = (BLOCK_BYTES, post_id);
        Self { store, spool, compression, followers, owner, block_bytes, item_id, clock }
    }
}

/// A dataset in a keyspace, as described in the module's documentation.
pub struct CassandraDataset {
    inner: Arc<Inner>,
    compression: Compression,
    followers: FollowersFormat,
    item_id: ItemId,
    /// Memory of one list's duplicate filter, in bytes.
    filter_bytes: usize,
    /// When the marker was read, by the clock.
    owner_checked: Mutex<Option<Duration>>,
}

/// What drafts share with their dataset.
struct Inner {
    store: CassandraStore,
    spool: Spool,
    owner: Marker,
    block_bytes: u64,
    clock: Arc<dyn Clock>,
    /// The drafts of this process.
    drafts: Mutex<HashMap<DraftId, OwnDraft>>,
}

/// What this process knows of a draft that it wrote. A lease belongs to one process, so nobody else writes it.
#[derive(Debug, Default, Clone)]
struct OwnDraft {
    /// The versions that were begun, or whose beginning failed with an unknown result.
    versions: Vec<Uuid>,
    finished: Option<FinishedVersion>,
    /// Once it is published: the version that was there before, and how many blocks that one has.
    published: Option<Option<(Uuid, i32)>>,
    /// The head of the published file that an update has appended.
    appended: Option<Head>,
}

impl CassandraDataset {
    /// Opens the dataset of an output that belongs to `options.owner`.
    ///
    /// # Errors
    /// The spool cannot be used.
    pub fn open(options: CassandraDatasetOptions) -> Result<Self> {
        let CassandraDatasetOptions {
            store,
            spool,
            compression,
            followers,
            owner,
            block_bytes,
            item_id,
            clock,
        } = options;
        let block_bytes = block_bytes.clamp(1, BLOCK_BYTES);
        let spool = Spool::open(spool, item_id)?;
        let inner = Inner { store, spool, owner, block_bytes, clock, drafts: Mutex::default() };
        let (filter_bytes, owner_checked) = (FILTER_BYTES, Mutex::default());
        Ok(Self { inner: Arc::new(inner), compression, followers, item_id, filter_bytes, owner_checked })
    }

    /// Ensures that the output still belongs to this cluster: another one may have adopted it.
    fn look_at_owner(&self) -> Result<()> {
        let mut checked = self.owner_checked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.inner.clock.monotonic();
        if checked.is_some_and(|at| now < at + OWNER_CHECK) {
            return Ok(());
        }
        self.inner.read_owner()?;
        *checked = Some(now);
        Ok(())
    }

    fn files(&self, draft: &DraftId) -> DraftFiles {
        let published = Updating { inner: self.inner.clone(), draft: Some(draft.clone()) };
        DraftFiles { published: Arc::new(published), item_id: self.item_id }
    }

    /// An empty file in the spool.
    fn sink(&self, draft: &DraftId, members: Vec<super::members::Member>) -> Result<Sink> {
        // A compressor holds back up to half a block of its output.
        let members = Members::new(self.inner.block_bytes / 2, members);
        Ok(self.inner.spool.create(draft, self.compression)?.volatile().with_members(members))
    }

    fn timeline(&self, draft: DraftId, file: FileTimelineDraft) -> Box<dyn TimelineDraft> {
        Box::new(RemoteTimeline::new(self.inner.clone(), draft, file))
    }

    fn followers_draft(&self, draft: &DraftId, sink: Sink) -> Result<FileFollowersDraft> {
        let (key, lease) = (draft.key.clone(), draft.lease);
        let layout = self.inner.spool.layout();
        FileFollowersDraft::new(key, lease, layout, sink, self.followers, self.filter_bytes)
    }

    /// Copies an old draft up to a save point into the file of a new one, not yet verified.
    fn copy_draft(&self, old: &DraftId, new: &DraftId, saved: SavePoint) -> Result<Sink> {
        self.look_at_owner()?;
        if old.lease == new.lease {
            return Err(DatasetError::SameLease { key: new.key.clone(), lease: new.lease });
        }
        let inner = &self.inner;
        inner.begin(new)?;
        for version in inner.store.versions(inner.owner.epoch, old)? {
            let (mut file, path) = inner.spool.unnamed()?;
            let from = (&old.key, version.version);
            let members = match inner.store.copy_draft(from, saved.token, &mut file) {
                Ok(Some(members)) => members,
                Ok(None) => continue,
                Err(CopyError::File(source)) => {
                    return Err(FileError { action: "copy to", path, source }.into());
                }
                Err(CopyError::Blocks(blocks::BlockError::Other(error))) => return Err(error.into()),
                Err(CopyError::Blocks(blocks::BlockError::Missing(_))) => continue,
            };
            let mut sink = self.sink(new, members)?;
            std::io::Seek::rewind(&mut file).naming("read", &path)?;
            sink.append_raw(&mut file).map_err(|error| DatasetError::of_copy(error, sink.path()))?;
            // A file has one codec: the draft may be of a node with another setting.
            if saved.token > 0 {
                sink.continue_with(inner.spool.codec(new)?);
            }
            return Ok(sink);
        }
        Err(missing(&old.key, old.lease, "its blocks do not reach its save point"))
    }
}

impl Inner {
    /// Orders the publication of a draft.
    fn fence(&self, lease: u64) -> Fence {
        Fence { storage: self.owner.storage, epoch: self.owner.epoch, lease }
    }

    /// Ensures that the output belongs to this cluster now.
    fn read_owner(&self) -> Result<()> {
        let output = PathBuf::from(self.store.place());
        match KeyspaceOutput::new(&self.store).read()? {
            Some(found) if found == self.owner => Ok(()),
            Some(_) => Err(DatasetError::NotMounted { output, why: "its marker names another owner" }),
            None => Err(DatasetError::NotMounted { output, why: "it has no marker" }),
        }
    }

    fn drafts(&self) -> MutexGuard<'_, HashMap<DraftId, OwnDraft>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a draft: what an earlier attempt of the same lease has written is removed.
    fn begin(&self, draft: &DraftId) -> Result<()> {
        if self.drafts().contains_key(draft) {
            self.discard(draft)?;
        }
        Ok(())
    }

    /// Forgets a draft of which nothing was written.
    fn forget_empty(&self, draft: &DraftId) {
        let mut drafts = self.drafts();
        if drafts.get(draft).is_some_and(|own| own.versions.is_empty()) {
            drafts.remove(draft);
        }
    }

    /// The head of a file that exists.
    fn existing(&self, key: &FileKey) -> Result<Option<Head>> {
        Ok(self.store.head(key)?.filter(Head::is_file))
    }
}

impl Dataset for CassandraDataset {
    fn begin_timeline(&self, account: &Account, lease: u64) -> Result<Box<dyn TimelineDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.timeline(), lease };
        self.inner.begin(&draft)?;
        let sink = self.sink(&draft, Vec::new())?;
        let file = FileTimelineDraft::new(draft.key.clone(), self.files(&draft), sink, self.filter_bytes);
        Ok(self.timeline(draft, file))
    }

    fn begin_followers(&self, account: &Account, lease: u64) -> Result<Box<dyn FollowersDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.followers(), lease };
        self.inner.begin(&draft)?;
        let file = self.followers_draft(&draft, self.sink(&draft, Vec::new())?)?;
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
        let file = FileTimelineDraft::resumed(key, self.files(&new), sink, self.filter_bytes);
        match verified(file, saved, TimelineDraft::items) {
            Ok(file) => Ok(self.timeline(new, file)),
            Err(why) => {
                self.inner.discard(&new)?;
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
                self.inner.discard(&new)?;
                Err(why.into_error(&old.key, old_lease))
            }
        }
    }

    fn begin_profiles(&self, account: &Account, lease: u64) -> Result<Box<dyn ProfilesDraft>> {
        self.look_at_owner()?;
        let draft = DraftId { key: account.profiles(), lease };
        self.inner.begin(&draft)?;
        let sink = self.sink(&draft, Vec::new())?;
        let file = FileProfilesDraft::new(draft.key.clone(), self.files(&draft).published, sink);
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
        let file = FileProfilesDraft::resumed(key, self.files(&new).published, sink);
        match verified(file, saved, ProfilesDraft::items) {
            Ok(file) => Ok(Box::new(RemoteProfiles::new(self.inner.clone(), new, file))),
            Err(why) => {
                self.inner.discard(&new)?;
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
        self.inner.discard(&DraftId { key: key.clone(), lease })
    }

    fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        self.look_at_owner()?;
        let mut drafts = self.inner.store.all_drafts(self.inner.owner.epoch)?;
        drafts.extend(self.inner.drafts().keys().map(|draft| (draft.key.clone(), draft.lease)));
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
        Ok(self.inner.existing(key)?.map_or(0, |head| stamp_of(&head)))
    }

    fn stat(&self, key: &FileKey) -> Result<Option<Stat>> {
        self.look_at_owner()?;
        let Some(head) = self.inner.existing(key)? else { return Ok(None) };
        let place = self.inner.store.place_of(key)?.display().to_string();
        Ok(Some(Stat { bytes: head.bytes, place }))
    }

    fn newest_post(&self, account: &Account) -> Result<Option<PostId>> {
        self.look_at_owner()?;
        let key = account.timeline();
        let Some(head) = self.inner.existing(&key)? else { return Ok(None) };
        if let Some(newest) = head.newest.as_deref().and_then(PostId::parse) {
            return Ok(Some(newest));
        }
        // A file that a tool put there.
        let files = Updating { inner: self.inner.clone(), draft: None };
        published::newest_post(&files, account, self.item_id)
    }

    fn open_timeline(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        published::open_timeline(&*self.inner, account, self.item_id)
    }

    fn open_followers(&self, account: &Account) -> Result<Option<Followers>> {
        self.look_at_owner()?;
        published::open_followers(&*self.inner, account)
    }

    fn open_profiles(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        published::open_profiles(&*self.inner, account)
    }

    fn set_aside(&self, key: &FileKey, stamp: u64) -> Result<Option<String>> {
        self.look_at_owner()?;
        let Some(head) = self.inner.existing(key)?.filter(|head| stamp_of(head) == stamp) else {
            return Ok(None);
        };
        Ok(self.inner.set_head_aside(key, &head)?.map(|to| to.display().to_string()))
    }

    fn append_provenance(&self, name: &BatchName, batch: &[u8]) -> Result<()> {
        self.look_at_owner()?;
        self.inner.store.put_batch(name, batch.to_vec())
    }
}

/// Distinguishes a version of a file from all others.
fn stamp_of(head: &Head) -> u64 {
    stamp(*head.version.as_bytes())
}

impl fmt::Debug for CassandraDataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CassandraDataset({})", self.inner.store.place())
    }
}
