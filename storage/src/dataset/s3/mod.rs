//! The dataset in a bucket of an S3-compatible store.
//!
//! Published files have the names of the dataset on files, below the prefix of the bucket's URL. All nodes share them.
//!
//! ```text
//! 22/22013880.twt                       a published file; its attributes say which draft it was
//! 22/22013880.twt.unreadable[-N]        an unreadable file, set aside; an empty object is in its place
//! .drafts/EPOCH/22013880.twt.LEASE/...  the segments of a draft
//! .twm-output                           whose output it is
//! .provenance/NAME.jsonl.gz             batches of provenance
//! ```
//!
//! A draft is written to a file in the node's *spool* folder. At each save point, what is new in it is uploaded as a
//! segment, so that another node can resume it; the end is uploaded when the draft is finished. The spool need not
//! survive the node.
//!
//! Publication is fenced by the store: the object is written only if none is there, or only over the version that was
//! looked at, and only if that one has a lower fence. A process that was frozen in between is refused. Stores ignore
//! conditions of deletions, so only drafts are deleted.

mod draft;
mod owner;
mod publication;
mod segments;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use owner::BucketOutput;
pub use store::BucketStore;

use draft::{RemoteFollowers, RemoteProfiles, RemoteTimeline};

use super::cache::Cache;
use super::duplicates::FILTER_BYTES;
use super::followers_draft::FileFollowersDraft;
use super::profiles_draft::FileProfilesDraft;
use super::provenance::BatchName;
use super::published::{self, Fence, PublishedFiles as _, Version, stamp};
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
use crate::net::s3::{Bucket, Meta, RequestCounts};

/// How often the bucket's marker is read.
const OWNER_CHECK: Duration = Duration::from_secs(60);

/// Options of a dataset in a bucket.
#[derive(Clone)]
pub struct S3DatasetOptions {
    /// The bucket, opened.
    pub bucket: Bucket,
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

impl S3DatasetOptions {
    /// The usual settings: gzip, follower lists as text.
    pub fn new(bucket: Bucket, spool: PathBuf, owner: Marker, clock: Arc<dyn Clock>) -> Self {
        let (compression, followers) = (Compression::default(), FollowersFormat::Text);
        Self { bucket, spool, compression, followers, owner, item_id: post_id, clock }
    }
}

/// A dataset in a bucket, as described in the module's documentation.
pub struct S3Dataset {
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
    bucket: Bucket,
    spool: Spool,
    owner: Marker,
    /// The drafts of this process.
    drafts: Mutex<HashMap<DraftId, OwnDraft>>,
    /// Files that were read and will probably be read again.
    cache: Mutex<Cache>,
}

/// What this process knows of a draft that it wrote.
#[derive(Debug, Default)]
struct OwnDraft {
    /// The segments that were uploaded, or whose upload failed with an unknown result.
    segments: Vec<String>,
    /// Length of the finished draft in the spool.
    finished: Option<u64>,
    /// The version of the published file that an update has appended.
    appended: Option<Version>,
}

impl S3Dataset {
    /// Opens the dataset of an output that belongs to `options.owner`.
    ///
    /// # Errors
    /// The spool cannot be used.
    pub fn open(options: S3DatasetOptions) -> Result<Self> {
        let S3DatasetOptions { bucket, spool, compression, followers, owner, item_id, clock } = options;
        let (drafts, cache) = Default::default();
        let inner = Inner { bucket, spool: Spool::open(spool, item_id)?, owner, drafts, cache };
        let (filter_bytes, owner_checked) = (FILTER_BYTES, Mutex::default());
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
        FileFollowersDraft::new(
            key,
            lease,
            self.inner.spool.layout(),
            sink,
            self.followers,
            self.filter_bytes,
        )
    }

    /// Downloads an old draft up to a save point into the file of a new one, not yet verified.
    fn copy_draft(&self, old: &DraftId, new: &DraftId, saved: SavePoint) -> Result<Sink> {
        self.look_at_owner()?;
        if old.lease == new.lease {
            return Err(DatasetError::SameLease { key: new.key.clone(), lease: new.lease });
        }
        let lost = || missing(&old.key, old.lease, "its segments do not reach its save point");
        let segments = self.inner.segments_to(old, saved.token)?.ok_or_else(lost)?;
        let sink = self.inner.spool.create(new, self.compression)?;
        let mut sink = self.inner.download(&segments, sink)?.ok_or_else(lost)?;
        // A file has one codec: the draft may be of a node with another setting.
        if saved.token > 0 {
            sink.continue_with(self.inner.spool.codec(new)?);
        }
        Ok(sink.volatile())
    }
}

impl Inner {
    /// Orders the publication of a draft.
    fn fence(&self, lease: u64) -> Fence {
        Fence { storage: self.owner.storage, epoch: self.owner.epoch, lease }
    }

    /// Ensures that the output belongs to this cluster now.
    fn read_owner(&self) -> Result<()> {
        let output = PathBuf::from(self.bucket.place());
        match BucketOutput::new(&self.bucket).read()? {
            Some(found) if found == self.owner => Ok(()),
            Some(_) => Err(DatasetError::NotMounted { output, why: "its marker names another owner" }),
            None => Err(DatasetError::NotMounted { output, why: "it has no marker" }),
        }
    }

    fn drafts(&self) -> MutexGuard<'_, HashMap<DraftId, OwnDraft>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a draft: what an earlier attempt of the same lease uploaded must not be mixed with it.
    fn begin(&self, draft: &DraftId) -> Result<()> {
        let before = self.drafts().remove(draft);
        for segment in before.into_iter().flat_map(|before| before.segments) {
            self.bucket.delete(&segment)?;
        }
        Ok(())
    }

    /// A published file that is not empty: see [`set_aside`](Dataset::set_aside).
    fn published(&self, key: &FileKey) -> Result<Option<Meta>> {
        Ok(self.bucket.head(&key.stored_name()?)?.filter(|meta| meta.bytes > 0))
    }

    /// The place of an object, for messages.
    fn place(&self, object: &str) -> PathBuf {
        PathBuf::from(format!("{}/{object}", self.bucket.url()))
    }
}

impl Dataset for S3Dataset {
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
        let known = self.inner.drafts().get(&draft).map(|own| own.segments.clone());
        let segments = match known {
            Some(segments) => segments,
            None => self.inner.segment_keys(&draft)?,
        };
        for segment in segments {
            self.inner.bucket.delete(&segment)?;
        }
        self.inner.drafts().remove(&draft);
        Ok(())
    }

    fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        // Those of another cluster, which continues this one, would look as if nobody needed them.
        self.inner.read_owner()?;
        // Not all servers can list them.
        if let Err(error) = self.inner.abort_old_uploads() {
            tracing::debug!("cannot look for unfinished uploads: {error}");
        }
        let mut drafts = self.inner.spool.layout().drafts()?;
        drafts.extend(self.inner.uploaded_drafts()?);
        // A deletion whose answer was lost leaves nothing but what this process knows.
        drafts.extend(self.inner.drafts().keys().map(|draft| (draft.key.clone(), draft.lease)));
        drafts.sort();
        drafts.dedup();
        Ok(drafts)
    }

    fn exists(&self, key: &FileKey) -> Result<bool> {
        self.look_at_owner()?;
        Ok(self.inner.published(key)?.is_some())
    }

    fn stamp(&self, key: &FileKey) -> Result<u64> {
        self.look_at_owner()?;
        Ok(self.inner.published(key)?.map_or(0, |meta| stamp(meta.etag.bytes())))
    }

    fn stat(&self, key: &FileKey) -> Result<Option<Stat>> {
        self.look_at_owner()?;
        let Some(meta) = self.inner.published(key)? else { return Ok(None) };
        let place = self.inner.place(&key.stored_name()?).display().to_string();
        Ok(Some(Stat { bytes: meta.bytes, place }))
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
        store::put_batch(&self.inner.bucket, name, batch.to_vec()).map(drop)
    }

    fn requests(&self) -> Vec<(&'static str, u64)> {
        let RequestCounts { get, head, put, delete, list, multipart, retries: _ } =
            self.inner.bucket.requests();
        let kinds = [("get", get), ("head", head), ("put", put), ("delete", delete), ("list", list)];
        kinds.into_iter().chain([("multipart", multipart)]).collect()
    }
}

/// Distinguishes a version of a file from all others; 0 for one that is not in a bucket.
fn stamp_of(found: &Version) -> u64 {
    match found {
        Version::Object { etag, .. } => stamp(etag.bytes()),
        _ => 0,
    }
}

impl fmt::Debug for S3Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Dataset({})", self.inner.bucket.place())
    }
}
