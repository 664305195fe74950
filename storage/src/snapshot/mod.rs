//! A snapshot of the state in one file, for other nodes and for backups.
//!
//! ```text
//! file     magic `twm-snap` (8 bytes)  version (u16, 1)  header block  entry blocks  end block
//! block    kind (1 byte)  length of the payload (u32)  CRC-32 of kind, length and payload (u32)  payload
//! header   kind 1: bytes that mean something to the writer's layer
//! entries  kind 2: (key length (varint)  value length (varint)  key  value) ...
//! end      kind 3: number of entries (u64)  CRC-32 of all block CRCs before (u32)
//! ```
//!
//! Numbers are little-endian. The end block tells a whole file from one that lost blocks at their
//! borders; nothing follows it.

mod block;
mod reader;
mod receiver;
mod writer;

use std::path::PathBuf;

pub use reader::SnapshotReader;
pub use receiver::SnapshotReceiver;
pub use writer::{SnapshotInfo, SnapshotWriter, remove_unfinished};

use crate::durable::FileError;
use crate::state::StateError;

/// Largest header, in bytes.
pub const MAX_HEADER_BYTES: usize = 1024 * 1024;

/// Why a snapshot could not be written, sent or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a finished snapshot.
    #[error("the snapshot {} is damaged at byte {at}: {why}; take another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Offset of the block.
        at: u64,
        /// What is wrong there.
        why: &'static str,
    },
    /// Written by a newer program.
    #[error("the snapshot {} has format {found}, this program knows {supported}; use a newer program", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The newest version that this program reads.
        supported: u16,
    },
    /// A header, key or value that is too large.
    #[error("{bytes} bytes are too many for a snapshot's {what} ({limit} at most)")]
    TooLarge {
        /// Header, key or value.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// A snapshot's id that is not a valid file name.
    #[error("{0:?} is no snapshot id; take 1 to 200 letters, digits, '-', '_' and '.', and no '.' in front")]
    BadId(String),
    /// A piece that leaves a gap.
    #[error(
        "a piece of snapshot {id} starts at byte {found}, but only {here} bytes are here; send from there"
    )]
    Gap {
        /// The snapshot.
        id: String,
        /// Bytes received so far.
        here: u64,
        /// Start of the piece.
        found: u64,
    },
    /// The transfer ended early, or sent too much.
    #[error(
        "snapshot {id} has {here} bytes here, not {expected}; send the rest, or all of it again if it is too long"
    )]
    WrongLength {
        /// The snapshot.
        id: String,
        /// Bytes received.
        here: u64,
        /// Bytes announced.
        expected: u64,
    },
}

impl From<SnapshotError> for StateError {
    fn from(error: SnapshotError) -> Self {
        Self::Source(Box::new(error))
    }
}

#[cfg(test)]
mod tests;
