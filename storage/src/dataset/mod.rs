//! The dataset: what was crawled, one timeline and one follower list per account.
//!
//! [`Dataset`] is the boundary that workers write through; [`FilesDataset`] keeps the dataset on files.
//! A file comes into being in steps, so that it is either whole or not there, whoever dies when:
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
//! OUTPUT/a7/did%3Aplc%3Ax.twt  a text id: percent-encoded, under two hex digits of its CRC-32
//! OUTPUT/22/22013880.twt.unreadable[-N]   a file that could not be read, set aside
//! OUTPUT/.tmp/22013880.twt.LEASE          a draft
//! OUTPUT/.tmp/22013880.twt.LEASE.published  the proof of a publication that the cluster does not know of yet
//! OUTPUT/.twm-output                      whose output it is
//! OUTPUT/22/22013880.twt.new              a file being made anew, see [`rewrite`]
//! ```
//!
//! Files are gzip (any number of members) or plain; readers tell by the first two bytes, and also take
//! the names of the original program, with `.gz` behind them. A packed list is told from lines by its
//! first byte, below `0x30`; a list that would break this rule is not written.

mod duplicates;
mod error;
mod files;
mod followers_draft;
mod followers_reader;
mod input;
mod key;
mod layout;
mod list_encoder;
mod marker;
mod publication;
pub mod rewrite;
mod sink;
mod spill;
mod timeline_draft;
mod timeline_reader;
mod verify;

use serde::{Deserialize, Serialize};

pub use error::DatasetError;
pub use files::{FilesDataset, FilesOptions, FollowersFormat};
pub use followers_reader::FollowersReader;
pub use input::{Decoded, MAX_LINE_BYTES, open_decoded};
pub use key::{FileKey, FileKind};
pub use layout::{dataset_files, dataset_folders};
pub use marker::{Marker, OutputState};
pub use timeline_reader::{ItemId, TimelineReader, tweet_id};
pub use verify::{Edge, Verification, verify};

use crate::ids::UserId;

/// What the dataset returns.
pub type Result<T, E = DatasetError> = std::result::Result<T, E>;
/// The lines of a timeline, newest first.
pub type Lines = Box<dyn Iterator<Item = Result<String>> + Send>;
/// The ids of a follower list, in the order in which the source gave them.
pub type Followers = Box<dyn Iterator<Item = Result<UserId>> + Send>;

/// A place that keeps timelines and follower lists. All calls block.
pub trait Dataset: Send + Sync + 'static {
    /// Begins a timeline; a draft of the same lease starts anew.
    fn begin_timeline(&self, user: &UserId, lease: u64) -> Result<Box<dyn TimelineDraft>>;

    /// Begins a follower list; a draft of the same lease starts anew.
    fn begin_followers(&self, user: &UserId, lease: u64) -> Result<Box<dyn FollowersDraft>>;

    /// Goes on with a timeline at a save point of an earlier lease. The old draft is copied, never
    /// appended to: a frozen process may still hold it open. It stays until it is discarded, as the
    /// save point refers to it until the new lease has reported one of its own.
    ///
    /// # Errors
    /// [`DatasetError::DraftMissing`] when the draft is not here, or not good up to the save point:
    /// the walk then starts anew.
    fn resume_timeline(
        &self,
        user: &UserId,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn TimelineDraft>>;

    /// Goes on with a follower list; see [`resume_timeline`](Self::resume_timeline).
    fn resume_followers(
        &self,
        user: &UserId,
        saved: SavePoint,
        old_lease: u64,
        new_lease: u64,
    ) -> Result<Box<dyn FollowersDraft>>;

    /// Gives a finished draft its final name; durable when it returns. Call it only for a completion
    /// that the cluster has accepted, in the order of acceptance. May be repeated until the draft is discarded, which
    /// also removes the proof that it was published.
    ///
    /// # Errors
    /// [`DatasetError::DraftLost`]: the draft is not there, and nothing proves that it was published.
    fn publish(&self, key: &FileKey, lease: u64) -> Result<()>;

    /// Removes a draft; one that is not there is fine.
    fn discard(&self, key: &FileKey, lease: u64) -> Result<()>;

    /// All drafts, with their leases: for the removal of those whose leases are over.
    fn drafts(&self) -> Result<Vec<(FileKey, u64)>>;

    /// Whether the file is there.
    fn exists(&self, key: &FileKey) -> Result<bool>;

    /// Tells the file from any other that had its name, before or after; 0 when it is not there. What was written in view
    /// of one file must not replace another.
    fn stamp(&self, key: &FileKey) -> Result<u64>;

    /// Size of the file; `None` when it is not there.
    fn stat(&self, key: &FileKey) -> Result<Option<Stat>>;

    /// Id of the first, and so the newest, tweet of a timeline; `None` when there is no file.
    ///
    /// # Errors
    /// [`DatasetError::SetAside`]: the file could not be read and has been set aside; a second call
    /// returns `None`.
    fn newest_tweet(&self, user: &UserId) -> Result<Option<u64>>;

    /// The lines of a timeline; `None` when there is no file.
    fn open_timeline(&self, user: &UserId) -> Result<Option<Lines>>;

    /// The ids of a follower list; `None` when there is no file.
    fn open_followers(&self, user: &UserId) -> Result<Option<Followers>>;

    /// Sets a file aside that turned out to be unreadable, and returns its new name; `None` when it is
    /// not there. Nothing is overwritten.
    fn set_aside(&self, key: &FileKey) -> Result<Option<String>>;
}

/// A timeline being written, newest tweet first.
pub trait TimelineDraft: Send {
    /// Appends a tweet as one line: `json` is the object as the source sent it, and loses only its line
    /// breaks, which are white space in JSON. `false`, and nothing written, when `tweet_id` is not below
    /// the last one: pages overlap where a walk is resumed or tweets arrive meanwhile.
    fn push(&mut self, tweet_id: u64, json: &str) -> Result<bool>;

    /// For an update: appends the published timeline behind the new tweets, each tweet once. An
    /// unreadable file is set aside, and said to be so in the answer.
    fn append_existing(&mut self) -> Result<Appended>;

    /// Makes everything so far durable; the walk can go on from here under another lease.
    fn save_point(&mut self) -> Result<SavePoint>;

    /// Tweets so far.
    fn items(&self) -> u64;

    /// Ends the draft and makes it durable. Without tweets there is no file, and nothing to publish.
    fn finish(self: Box<Self>) -> Result<Finished>;
}

/// A follower list being written, in the order in which the source gives it.
pub trait FollowersDraft: Send {
    /// Appends a follower; `false`, and nothing written, for one that is known to be there. In a list of
    /// more than a million a repeated one may be found only by `finish`.
    fn push(&mut self, follower: &UserId) -> Result<bool>;

    /// Makes everything so far durable; the walk can go on from here under another lease.
    fn save_point(&mut self) -> Result<SavePoint>;

    /// Followers so far, with those repeated ones that `finish` will remove.
    fn items(&self) -> u64;

    /// Ends the draft and makes it durable, each follower once. Without followers there is no file, and
    /// nothing to publish.
    fn finish(self: Box<Self>) -> Result<Finished>;
}

/// A place in a draft up to which it is whole and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavePoint {
    /// Length of the draft.
    pub bytes: u64,
    /// Items in it.
    pub items: u64,
}

/// A draft that is whole and durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// Items in it.
    pub items: u64,
    /// Length of the file.
    pub bytes: u64,
}

/// What was appended of a published timeline.
#[derive(Debug, Default)]
pub struct Appended {
    /// Tweets appended.
    pub items: u64,
    /// The [`DatasetError::SetAside`] of a file that could not be read.
    pub set_aside: Option<DatasetError>,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its size, as stored.
    pub bytes: u64,
    /// Where it is, for people.
    pub place: String,
}

#[cfg(test)]
mod tests;
