//! The applied state of the job tracker on disk: an ordered map of bytes, written one checkpoint at a time.
//!
//! [`SledStore`] stores it on disk; [`MemoryStore`] in memory, for tests and simulation.

mod batch;
mod generation;
mod memory_store;
mod redo;
mod sled_store;

use std::path::PathBuf;

pub use batch::WriteBatch;
pub use memory_store::MemoryStore;
pub use sled_store::SledStore;

use crate::durable::FileError;

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Largest value, in bytes. Larger ones could end in blob files, which sled 0.34 never syncs.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);
/// Entries in ascending order of their keys.
pub type Entries = Box<dyn Iterator<Item = Result<Entry>> + Send>;
/// What the stores return.
pub type Result<T, E = StateError> = std::result::Result<T, E>;

/// An ordered, durable map of bytes to bytes.
pub trait StateStore: Send + Sync + 'static {
    /// The value of `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The entries from `start` (inclusive) to `end` (exclusive; `None`: all), ascending.
    ///
    /// A concurrent write may be seen in part: a caller that needs a consistent image must hold back writes.
    /// After [`replace_all`](Self::replace_all) a scan may still yield the old entries.
    fn scan(&self, start: &[u8], end: Option<&[u8]>) -> Entries;

    /// Applies all changes or none; they are durable on return. Blocks for as long as the disk takes; other
    /// threads can read meanwhile.
    ///
    /// # Errors
    /// After any error but a refused size the store is [poisoned](StateError::Poisoned).
    fn write(&self, batch: WriteBatch) -> Result<()>;

    /// Replaces everything by `entries` (fastest in ascending order). After a crash at any moment the
    /// store holds either all of the old entries or all of the new ones.
    ///
    /// # Errors
    /// An error from `entries` ends the replacement, and the old entries stay.
    fn replace_all(&self, entries: &mut dyn Iterator<Item = Result<Entry>>) -> Result<()>;

    /// Bytes on disk.
    fn size_on_disk(&self) -> Result<u64>;
}

/// Why an operation of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file could not be read, written or synced.
    #[error(transparent)]
    File(#[from] FileError),
    /// sled refused.
    #[error("the state in {}: {source}; if it is damaged, move the data directory away, run `twm-ctl member replace` for this node and start it again", path.display())]
    Sled {
        /// The folder of the generation.
        path: PathBuf,
        /// What sled said.
        source: sled::Error,
    },
    /// The store failed earlier; what is on disk is known only after a restart.
    #[error("the state in {} takes no more work since it failed ({why}); restart the node once the disk is well", path.display())]
    Poisoned {
        /// The folder of the store.
        path: PathBuf,
        /// The first failure.
        why: String,
    },
    /// A value over [`MAX_VALUE_BYTES`].
    #[error(
        "a value of {bytes} bytes is too large for the state store; split it ({MAX_VALUE_BYTES} at most)"
    )]
    ValueTooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A key over [`MAX_KEY_BYTES`].
    #[error("a key of {bytes} bytes is too long for the state store ({MAX_KEY_BYTES} at most)")]
    KeyTooLong {
        /// Its size.
        bytes: usize,
    },
    /// The file that names the current generation is invalid.
    #[error("{} is damaged ({found:?}); move the data directory away, run `twm-ctl member replace` for this node and start it again", path.display())]
    DamagedPointer {
        /// The file.
        path: PathBuf,
        /// Its contents.
        found: String,
    },
    /// The batch that was being written when the program ended is damaged.
    #[error("{} is damaged at byte {at} ({why}), and the checkpoint in it was not finished; move the data directory away, run `twm-ctl member replace` for this node and start it again", path.display())]
    DamagedRedo {
        /// The file.
        path: PathBuf,
        /// Offset in it.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Written by a newer program.
    #[error("{} has format {found}, this program knows {supported}; start the newer twm-node again", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The newest version that this program reads.
        supported: u64,
    },
    /// The folder with the state is missing, or there are several and nothing says which one is current.
    #[error("{}: {why}; restore it, or move the data directory away, run `twm-ctl member replace` for this node and start it again", path.display())]
    MissingGeneration {
        /// The folder of the store.
        path: PathBuf,
        /// What was found instead.
        why: String,
    },
    /// The source of a replacement failed.
    #[error("the entries to load cannot be read: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn check_sizes(key: &[u8], value: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY_BYTES {
        return Err(StateError::KeyTooLong { bytes: key.len() });
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(StateError::ValueTooLarge { bytes: value.len() });
    }
    Ok(())
}
