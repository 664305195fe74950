//! Published files as drafts and readers see them, wherever they are.

use std::fs::File;
use std::io::Seek;
use std::path::PathBuf;

use super::layout::report_set_aside;
use super::members::Member;
use super::{
    Account, DatasetError, FileKey, Followers, FollowersReader, ItemId, Lines, Result, TimelineReader,
    profiles,
};
use crate::durable::Naming;
use crate::ids::PostId;

/// A published file, open for reading.
pub(super) struct Published {
    /// Its place, for messages.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) version: Version,
}

impl Published {
    /// The file from its start. All readers of one file share a position, so only one can be used at a time.
    pub(super) fn reader(&self) -> Result<File> {
        let mut file = self.file.try_clone().naming("read", &self.path)?;
        file.rewind().naming("read", &self.path)?;
        Ok(file)
    }
}

/// Distinguishes a file from others with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Version {
    /// Device and inode.
    Inode(u64, u64),
    /// Time of the last change in milliseconds, and length.
    #[cfg(feature = "hdfs")]
    Stored { modified: u64, bytes: u64 },
    /// The version of an object.
    #[cfg(feature = "s3")]
    Object { etag: String, fence: Fence },
    /// The version of a file in a keyspace, and where its members begin and end.
    #[cfg(feature = "cassandra")]
    Blocks { version: uuid::Uuid, members: std::sync::Arc<[Member]> },
}

impl Version {
    /// Where the file's members begin and end, if that is known.
    pub(super) fn members(&self) -> &[Member] {
        match self {
            #[cfg(feature = "cassandra")]
            Self::Blocks { members, .. } => members,
            _ => &[],
        }
    }
}

/// Orders the publications of one file in a store. A cluster that takes an output over starts with small leases, but in a
/// higher epoch.
#[cfg(any(feature = "cassandra", feature = "s3"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fence {
    /// The storage of the marker: fences of different ones cannot be compared.
    pub(super) storage: u64,
    pub(super) epoch: u64,
    pub(super) lease: u64,
}

#[cfg(any(feature = "cassandra", feature = "s3"))]
impl Fence {
    /// Whether it is that of the other one, or of a later publication.
    pub(super) fn includes(&self, other: &Self) -> bool {
        self.storage == other.storage && (self.epoch, self.lease) >= (other.epoch, other.lease)
    }
}

/// Distinguishes a version of a file from all others, by FNV-1a of what changes with it. Never 0.
pub(super) fn stamp(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.max(1)
}

/// Where published files are.
pub(super) trait PublishedFiles: Send + Sync {
    /// Opens a file; `None` if it does not exist.
    fn open(&self, key: &FileKey) -> Result<Option<Published>>;

    /// Sets an unreadable file aside, unless it was replaced since it was opened. Returns its new place.
    fn set_aside(&self, key: &FileKey, found: &Published) -> Result<Option<PathBuf>>;
}

/// Sets an unreadable file aside and reports it.
pub(super) fn set_aside(
    files: &dyn PublishedFiles,
    key: &FileKey,
    found: &Published,
    unreadable: DatasetError,
) -> Result<DatasetError> {
    Ok(report_set_aside(unreadable, files.set_aside(key, found)?))
}

/// See [`Dataset::newest_post`](super::Dataset::newest_post).
pub(super) fn newest_post(
    files: &dyn PublishedFiles,
    account: &Account,
    item_id: ItemId,
) -> Result<Option<PostId>> {
    let key = account.timeline();
    let Some(found) = files.open(&key)? else { return Ok(None) };
    match first_post(&found, item_id) {
        Err(unreadable @ DatasetError::Unreadable { .. }) => Err(set_aside(files, &key, &found, unreadable)?),
        other => other,
    }
}

fn first_post(found: &Published, item_id: ItemId) -> Result<Option<PostId>> {
    let mut posts = TimelineReader::of_file(&found.path, found.reader()?, item_id)?;
    Ok(posts.next_tweet()?.map(|(id, _)| id))
}

/// See [`Dataset::open_timeline`](super::Dataset::open_timeline).
pub(super) fn open_timeline(
    files: &dyn PublishedFiles,
    account: &Account,
    item_id: ItemId,
) -> Result<Option<Lines>> {
    let Some(found) = files.open(&account.timeline())? else { return Ok(None) };
    Ok(Some(Box::new(TimelineReader::of_file(&found.path, found.reader()?, item_id)?)))
}

/// See [`Dataset::open_profiles`](super::Dataset::open_profiles).
pub(super) fn open_profiles(files: &dyn PublishedFiles, account: &Account) -> Result<Option<Lines>> {
    let Some(found) = files.open(&account.profiles())? else { return Ok(None) };
    Ok(Some(Box::new(profiles::of_file(&found.path, found.reader()?)?)))
}

/// See [`Dataset::open_followers`](super::Dataset::open_followers).
pub(super) fn open_followers(files: &dyn PublishedFiles, account: &Account) -> Result<Option<Followers>> {
    let Some(found) = files.open(&account.followers())? else { return Ok(None) };
    Ok(Some(Box::new(FollowersReader::of_file(&found.path, found.reader()?)?)))
}
