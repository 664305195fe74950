//! The dataset on files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::duplicates::FILTER_BYTES;
use super::followers_draft::FileFollowersDraft;
use super::layout::Layout;
use super::profiles_draft::FileProfilesDraft;
use super::provenance::BatchName;
use super::provenance_folder;
use super::published::{self, Version};
use super::resuming::{missing, verified};
use super::sink::Sink;
use super::timeline_draft::{DraftFiles, FileTimelineDraft};
use super::{
    Account, Codec, Compression, Dataset, DatasetError, FileKey, Followers, FollowersDraft, ItemId, Lines,
    Marker, ProfilesDraft, Result, SavePoint, Stat, TimelineDraft, post_id,
};
use crate::durable::{self, Naming};
use crate::ids::PostId;

/// The format of new follower lists; readers accept both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FollowersFormat {
    /// One id per line.
    #[default]
    Text,
    /// Eight bytes per id, big-endian, as the original program wrote them. A list whose first id is a text,
    /// or so large that the list would be misread, is written as text.
    Packed,
}

/// Options of a dataset on files.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// Folder of the dataset.
    pub output: PathBuf,
    /// Folder of drafts, on the same volume; `None`: `.tmp` in the output folder.
    pub temporary: Option<PathBuf>,
    /// How new files are compressed.
    pub compression: Compression,
    /// How follower lists are written.
    pub followers: FollowersFormat,
    /// The owner of the output; absent: it is not checked.
    pub owner: Option<Marker>,
    /// Finds a tweet's id in a line that was written earlier; it must agree with the ids pushed.
    pub item_id: ItemId,
}

impl FilesOptions {
    /// The usual settings: gzip, follower lists as text.
    pub fn new(output: impl Into<PathBuf>) -> Self {
        let (output, followers) = (output.into(), FollowersFormat::Text);
        Self {
            output,
            temporary: None,
            compression: Compression::default(),
            followers,
            owner: None,
            item_id: post_id,
        }
    }
}

/// A dataset on files, in the layout of the module's documentation.
#[derive(Debug)]
pub struct FilesDataset {
    layout: Arc<Layout>,
    compression: Compression,
    followers: FollowersFormat,
    owner: Option<Marker>,
    /// Memory of one list's duplicate filter, in bytes.
    filter_bytes: usize,
}

impl FilesDataset {
    /// Opens a dataset, creating its folders.
    ///
    /// # Errors
    /// Folders that cannot be created, or are on different volumes.
    pub fn open(options: FilesOptions) -> Result<Self> {
        let FilesOptions { output, temporary, compression, followers, owner, item_id } = options;
        let temporary = temporary.unwrap_or_else(|| output.join(".tmp"));
        durable::create_shared_folder(&output)?;
        durable::create_shared_folder(&temporary)?;
        let volume =
            |path: &PathBuf| fs::metadata(path).map(|metadata| metadata.dev()).naming("look at", path);
        if volume(&output)? != volume(&temporary)? {
            return Err(DatasetError::OtherVolume { temporary, output });
        }
        let layout = Arc::new(Layout::new(output, temporary, item_id));
        Ok(Self { layout, compression, followers, owner, filter_bytes: FILTER_BYTES })
    }

    #[cfg(test)]
    pub(super) fn with_filter_bytes(mut self, filter_bytes: usize) -> Self {
        self.filter_bytes = filter_bytes;
        self
    }

    /// Ensures that the output is still the one that was opened: an empty mount point looks like a dataset without
    /// files.
    fn look_at_owner(&self) -> Result<()> {
        let Some(owner) = self.owner else { return Ok(()) };
        let output = &self.layout.output;
        let not_mounted = |why| Err(DatasetError::NotMounted { output: output.clone(), why });
        match Marker::read(output)? {
            Some(found) if found == owner => Ok(()),
            Some(_) => not_mounted("its marker names another owner"),
            None => not_mounted("it has no marker"),
        }
    }

    fn files(&self) -> DraftFiles {
        DraftFiles { published: self.layout.clone(), item_id: self.layout.item_id }
    }

    fn followers_draft(&self, key: FileKey, lease: u64, sink: Sink) -> Result<FileFollowersDraft> {
        FileFollowersDraft::new(key, lease, &self.layout, sink, self.followers, self.filter_bytes)
    }

    /// A copy of an old draft up to a save point, not yet verified.
    fn copy_draft(&self, key: &FileKey, saved: SavePoint, old_lease: u64, new_lease: u64) -> Result<Sink> {
        self.look_at_owner()?;
        if old_lease == new_lease {
            return Err(DatasetError::SameLease { key: key.clone(), lease: new_lease });
        }
        let path = self.layout.draft(key, old_lease)?;
        let old = match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(missing(key, old_lease, "it is not on this node"));
            }
            other => other.naming("open", &path)?,
        };
        // A file has one codec: the draft may be of a node with another setting.
        let mut start = [0; 4];
        let read = old.read_at(&mut start, 0).naming("read", &path)?;
        let compression = match saved.token {
            0 => self.compression,
            _ => self.compression.with(Codec::of_start(&start[..read])),
        };
        let copy = Sink::copy_of(
            &self.layout.draft(key, new_lease)?,
            old,
            saved.token,
            compression,
            &self.layout.drafts_sync,
        )?;
        copy.ok_or_else(|| missing(key, old_lease, "it is shorter than its save point"))
    }
}

impl Dataset for FilesDataset {
    fn begin_timeline(&self, account: &Account, lease: u64) -> Result<Box<dyn TimelineDraft>> {
        self.look_at_owner()?;
        let key = account.timeline();
        let sink =
            Sink::create(&self.layout.draft(&key, lease)?, self.compression, &self.layout.drafts_sync)?;
        Ok(Box::new(FileTimelineDraft::new(key, self.files(), sink, self.filter_bytes)))
    }

    fn begin_followers(&self, account: &Account, lease: u64) -> Result<Box<dyn FollowersDraft>> {
        self.look_at_owner()?;
        let key = account.followers();
        let sink =
            Sink::create(&self.layout.draft(&key, lease)?, self.compression, &self.layout.drafts_sync)?;
        Ok(Box::new(self.followers_draft(key, lease, sink)?))
    }

    fn resume_timeline(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn TimelineDraft>> {
        let key = account.timeline();
        let sink = self.copy_draft(&key, saved, old_lease, new_lease)?;
        let draft = FileTimelineDraft::resumed(key.clone(), self.files(), sink, self.filter_bytes);
        match verified(draft, saved, TimelineDraft::items) {
            Ok(draft) => Ok(Box::new(draft)),
            Err(why) => {
                self.discard(&key, new_lease)?;
                Err(why.into_error(&key, old_lease))
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
        let sink = self.copy_draft(&key, saved, old_lease, new_lease)?;
        let mut draft = self.followers_draft(key.clone(), new_lease, sink)?;
        let draft = draft.read_back().map(|()| draft);
        match verified(draft, saved, FollowersDraft::items) {
            Ok(draft) => Ok(Box::new(draft)),
            Err(why) => {
                self.discard(&key, new_lease)?;
                Err(why.into_error(&key, old_lease))
            }
        }
    }

    fn begin_profiles(&self, account: &Account, lease: u64) -> Result<Box<dyn ProfilesDraft>> {
        self.look_at_owner()?;
        let key = account.profiles();
        let sink =
            Sink::create(&self.layout.draft(&key, lease)?, self.compression, &self.layout.drafts_sync)?;
        Ok(Box::new(FileProfilesDraft::new(key, self.layout.clone(), sink)))
    }

    fn resume_profiles(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn ProfilesDraft>> {
        let key = account.profiles();
        let sink = self.copy_draft(&key, saved, old_lease, new_lease)?;
        let draft = FileProfilesDraft::resumed(key.clone(), self.layout.clone(), sink);
        match verified(draft, saved, ProfilesDraft::items) {
            Ok(draft) => Ok(Box::new(draft)),
            Err(why) => {
                self.discard(&key, new_lease)?;
                Err(why.into_error(&key, old_lease))
            }
        }
    }

    fn publish(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.look_at_owner()?;
        self.layout.publish(key, lease)
    }

    fn stamp(&self, key: &FileKey) -> Result<u64> {
        self.look_at_owner()?;
        let Some(path) = self.layout.existing(key)? else { return Ok(0) };
        let found = fs::metadata(&path).naming("look at", &path)?;
        Ok(stamp_of(&found))
    }

    fn discard(&self, key: &FileKey, lease: u64) -> Result<()> {
        self.look_at_owner()?;
        for path in self.layout.leftovers(key, lease)? {
            durable::remove_file(&path)?;
        }
        Ok(())
    }

    fn drafts(&self) -> Result<Vec<(FileKey, u64)>> {
        self.look_at_owner()?;
        self.layout.drafts()
    }

    fn exists(&self, key: &FileKey) -> Result<bool> {
        self.look_at_owner()?;
        Ok(self.layout.existing(key)?.is_some())
    }

    fn stat(&self, key: &FileKey) -> Result<Option<Stat>> {
        self.look_at_owner()?;
        let Some(path) = self.layout.existing(key)? else { return Ok(None) };
        let bytes = fs::metadata(&path).naming("look at", &path)?.len();
        Ok(Some(Stat { bytes, place: path.display().to_string() }))
    }

    fn newest_post(&self, account: &Account) -> Result<Option<PostId>> {
        self.look_at_owner()?;
        published::newest_post(&*self.layout, account, self.layout.item_id)
    }

    fn open_timeline(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        published::open_timeline(&*self.layout, account, self.layout.item_id)
    }

    fn open_followers(&self, account: &Account) -> Result<Option<Followers>> {
        self.look_at_owner()?;
        published::open_followers(&*self.layout, account)
    }

    fn open_profiles(&self, account: &Account) -> Result<Option<Lines>> {
        self.look_at_owner()?;
        published::open_profiles(&*self.layout, account)
    }

    fn set_aside(&self, key: &FileKey, stamp: u64) -> Result<Option<String>> {
        self.look_at_owner()?;
        let Some(path) = self.layout.existing(key)? else { return Ok(None) };
        let found = fs::metadata(&path).naming("look at", &path)?;
        if stamp_of(&found) != stamp {
            return Ok(None);
        }
        let seen = Version::of(&found);
        Ok(self.layout.rename_aside(&path, &seen)?.map(|to| to.display().to_string()))
    }

    fn append_provenance(&self, name: &BatchName, batch: &[u8]) -> Result<()> {
        self.look_at_owner()?;
        provenance_folder::put(&self.layout.output, name, batch).map(drop)
    }
}

/// Distinguishes a file from all others with its name, by the attributes that renaming, writing and copying change.
fn stamp_of(found: &fs::Metadata) -> u64 {
    let numbers = [found.ino(), found.size(), found.mtime() as u64, found.mtime_nsec() as u64];
    published::stamp(numbers.into_iter().flat_map(u64::to_le_bytes))
}
