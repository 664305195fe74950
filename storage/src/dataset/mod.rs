//! The dataset: what was crawled, one timeline, one follower list and one file of profiles per account.
//!
//! [`Dataset`] is the boundary that workers write through; [`FilesDataset`] keeps the dataset on files.
//! A file is written in steps, so that it is either complete or absent, whichever process dies at any moment:
//!
//! 1. a worker writes a *draft* that carries its lease (the fencing token), with [`SavePoint`]s on the way;
//! 2. `finish` makes the draft durable; the worker proposes the completion to the cluster;
//! 3. once the cluster has accepted it, `publish` renames the draft to the file's own name.
//!
//! A draft whose lease was lost is never published, so a process that was frozen between two steps does
//! no harm. What `publish` cannot see for itself, and relies on the state machine for: at most one
//! lease of a file is accepted and not yet published, and leases are published in the order in which
//! they were accepted.
//!
//! # Format on files
//!
//! ```text
//! OUTPUT/22/22013880.twt     timeline: one JSON object a line, newest first, no tweet twice
//! OUTPUT/22/22013880.fws     followers, each once: one id a line, or packed (8 bytes big-endian an id)
//! OUTPUT/22/22013880.prf     profiles of followers that analyses looked up: one JSON object a line, newest analysis first
//! OUTPUT/a7/did%3Aplc%3Ax.twt  a text id: percent-encoded, under two hex digits of its CRC-32
//! OUTPUT/22/22013880.twt.unreadable[-N]   a file that could not be read, set aside
//! OUTPUT/NAME/22/22013880.twt  the same of another source than twitter, see [`SourceName`]
//! OUTPUT/.tmp/22013880.twt.LEASE          a draft; NAME~22013880.twt.LEASE of another source
//! OUTPUT/.tmp/22013880.twt.LEASE.published  the proof of a publication that the cluster does not know of yet
//! OUTPUT/.twm-output                      whose output it is
//! OUTPUT/.provenance/NAME.jsonl.gz        for which crawls, when and how far files were crawled, see [`provenance`]
//! OUTPUT/22/22013880.twt.new              a file being rewritten, see [`rewrite`]
//! ```
//!
//! Files are gzip (any number of members), zstd (any number of frames) or plain; readers tell by the first bytes,
//! and also take the names of the original program, with `.gz` behind them. A packed list differs from lines by its
//! first byte, below `0x30`; a list that would break this rule is not written.

#[cfg(any(feature = "hdfs", feature = "s3"))]
mod cache;
#[cfg(feature = "cassandra")]
pub mod cassandra;
mod compression;
mod duplicates;
mod error;
mod files;
mod followers_draft;
mod followers_reader;
#[cfg(feature = "hdfs")]
pub mod hdfs;
mod input;
mod key;
mod layout;
mod list_encoder;
mod marker;
mod members;
mod profiles;
mod profiles_draft;
pub mod provenance;
mod provenance_folder;
mod publication;
mod published;
mod resuming;
pub mod rewrite;
#[cfg(feature = "s3")]
pub mod s3;
mod sink;
mod source_name;
mod spill;
#[cfg(any(feature = "cassandra", feature = "hdfs", feature = "s3"))]
mod spool;
pub mod store;
mod timeline_draft;
mod timeline_reader;
mod verify;

use serde::{Deserialize, Serialize};

pub use compression::{Codec, Compression};
pub use error::DatasetError;
pub use files::{FilesDataset, FilesOptions, FollowersFormat};
pub use followers_reader::FollowersReader;
pub use input::{Decoded, MAX_LINE_BYTES, open_decoded};
pub use key::{Account, FileKey, FileKind};
pub use layout::{dataset_files, dataset_folders};
pub use marker::{Marker, OutputState};
pub use profiles::{open_profiles, profile_id, profile_line};
pub use source_name::{InvalidSourceName, SourceName};
pub use timeline_reader::{ItemId, TimelineReader, post_id};
pub use verify::{Edge, Verification, verify};

use provenance::BatchName;

use crate::ids::{PostId, UserId};

/// What the dataset returns.
pub type Result<T, E = DatasetError> = std::result::Result<T, E>;
/// The lines of a timeline, newest first.
pub type Lines = Box<dyn Iterator<Item = Result<String>> + Send>;
/// The ids of a follower list, in the order in which the source gave them.
pub type Followers = Box<dyn Iterator<Item = Result<UserId>> + Send>;

/// A place for timelines, follower lists and profiles. All calls block.
pub trait Dataset: Send + Sync + 'static {
    /// Begins a timeline; an existing draft of the same lease is replaced.
    fn begin_timeline(&self, account: &Account, lease: u64) -> Result<Box<dyn TimelineDraft>>;

    /// Begins a follower list; an existing draft of the same lease is replaced.
    fn begin_followers(&self, account: &Account, lease: u64) -> Result<Box<dyn FollowersDraft>>;

    /// Continues a timeline at a save point of an earlier lease. The old draft is copied, never appended to:
    /// a frozen process may still have it open. It stays until it is discarded, because the save point refers
    /// to it until the new lease has reported one of its own.
    ///
    /// # Errors
    /// [`DatasetError::DraftMissing`] if the draft is not here, or not intact up to the save point: the walk
    /// then starts over.
    fn resume_timeline(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn TimelineDraft>>;

    /// Continues a follower list; see [`resume_timeline`](Self::resume_timeline).
    fn resume_followers(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn FollowersDraft>>;

    /// Begins a file of profiles; an existing draft of the same lease is replaced.
    fn begin_profiles(&self, account: &Account, lease: u64) -> Result<Box<dyn ProfilesDraft>>;

    /// Continues a file of profiles; see [`resume_timeline`](Self::resume_timeline).
    fn resume_profiles(
        &self,
        account: &Account,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn ProfilesDraft>>;

    /// Publishes a finished draft under its final name; durable on return. Call it only for a completion that the
    /// cluster has accepted, in the order of acceptance. Idempotent until the draft is discarded, which also removes
    /// the proof of publication.
    ///
    /// # Errors
    /// [`DatasetError::DraftLost`]: the draft does not exist, and nothing proves that it was published.
    fn publish(&self, key: &FileKey, lease: u64) -> Result<()>;

    /// Removes a draft, if it exists.
    fn discard(&self, key: &FileKey, lease: u64) -> Result<()>;

    /// All drafts with their leases, for the cleanup.
    fn drafts(&self) -> Result<Vec<(FileKey, u64)>>;

    /// Whether the file exists.
    fn exists(&self, key: &FileKey) -> Result<bool>;

    /// Distinguishes the file from all others with its name, earlier or later; 0 if it does not exist. A draft based
    /// on one file must not replace another.
    fn stamp(&self, key: &FileKey) -> Result<u64>;

    /// Size of the file; `None` if it does not exist.
    fn stat(&self, key: &FileKey) -> Result<Option<Stat>>;

    /// Id of the first, and thus newest, post of a timeline; `None` without a file.
    ///
    /// # Errors
    /// [`DatasetError::SetAside`]: the file could not be read and was set aside; a second call returns
    /// `None`.
    fn newest_post(&self, account: &Account) -> Result<Option<PostId>>;

    /// The lines of a timeline; `None` without a file.
    fn open_timeline(&self, account: &Account) -> Result<Option<Lines>>;

    /// The lines of a file of profiles, newest analysis first; `None` without a file.
    fn open_profiles(&self, account: &Account) -> Result<Option<Lines>>;

    /// The ids of a follower list; `None` without a file.
    fn open_followers(&self, account: &Account) -> Result<Option<Followers>>;

    /// Sets aside a file that could not be read, and returns its new name; `None` if the file with that
    /// [`stamp`](Self::stamp) is no longer there. Nothing is overwritten.
    fn set_aside(&self, key: &FileKey, stamp: u64) -> Result<Option<String>>;

    /// Appends a batch of provenance, as [`encode_batch`](provenance::encode_batch) made it; durable on return. A batch that
    /// is there is left as it is, so the call may be repeated.
    ///
    /// # Errors
    /// Those of the place. The batch may have been written.
    fn append_provenance(&self, name: &BatchName, batch: &[u8]) -> Result<()>;

    /// Requests to a remote store since it was opened, by kind. Each attempt counts, because it costs money.
    fn requests(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

/// A timeline being written, newest post first.
pub trait TimelineDraft: Send {
    /// Appends a post as one line: `json` is the object as the source sent it, without its line breaks,
    /// which are white space in JSON. Returns `false` and writes nothing if `id` is not below the last
    /// one: pages overlap when a walk is resumed or posts arrive meanwhile.
    fn push(&mut self, id: &PostId, json: &str) -> Result<bool>;

    /// For an update: appends the published timeline to the new posts, each post once. An unreadable file
    /// is set aside and reported.
    fn append_existing(&mut self) -> Result<Appended>;

    /// Makes everything so far durable; the walk can continue from here under another lease.
    fn save_point(&mut self) -> Result<SavePoint>;

    /// Tweets so far.
    fn items(&self) -> u64;

    /// Finishes the draft and makes it durable. Without tweets there is no file and nothing to publish.
    fn finish(self: Box<Self>) -> Result<Finished>;
}

/// A follower list being written, in the order in which the source gives it.
pub trait FollowersDraft: Send {
    /// Appends a follower; returns `false` and writes nothing if it is known to be in the list. In a list of
    /// more than a million, `finish` may be the first to find a repeated one.
    fn push(&mut self, follower: &UserId) -> Result<bool>;

    /// Makes everything so far durable; the walk can continue from here under another lease.
    fn save_point(&mut self) -> Result<SavePoint>;

    /// Followers so far, including repeated ones that `finish` will remove.
    fn items(&self) -> u64;

    /// Finishes the draft and makes it durable, each follower once. Without followers there is no file and
    /// nothing to publish.
    fn finish(self: Box<Self>) -> Result<Finished>;
}

/// Profiles being written, in the order in which they were looked up.
pub trait ProfilesDraft: Send {
    /// Appends a line, see [`profile_line`]; without its line breaks, which are white space in JSON.
    fn push(&mut self, line: &str) -> Result<()>;

    /// Appends the published file, so that nothing is lost that was looked up earlier. An unreadable file is set aside and
    /// reported.
    fn append_existing(&mut self) -> Result<Appended>;

    /// Makes everything so far durable; the analysis can continue from here under another lease.
    fn save_point(&mut self) -> Result<SavePoint>;

    /// Profiles so far.
    fn items(&self) -> u64;

    /// Finishes the draft and makes it durable. Without profiles there is no file and nothing to publish.
    fn finish(self: Box<Self>) -> Result<Finished>;
}

/// A position up to which a draft is complete and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavePoint {
    /// Where the draft can be resumed, opaque to all but its backend: for files, the draft's length in bytes.
    pub token: u64,
    /// Items in it.
    pub items: u64,
}

/// A complete and durable draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Items in it.
    pub items: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// The appended part of a published file.
#[derive(Debug, Default)]
pub struct Appended {
    /// Items appended.
    pub items: u64,
    /// The [`DatasetError::SetAside`] of a file that could not be read.
    pub set_aside: Option<DatasetError>,
}

/// Metadata of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its size, as stored.
    pub bytes: u64,
    /// Its location, for messages.
    pub place: String,
}

#[cfg(test)]
mod tests;
