//! Checks a log before it is opened: who owns it, and whether its end is torn or damaged.
//!
//! A power cut preserves any subset of the pages written since the last sync: a record without its end, a hole in
//! place of one, and intact records behind it. All of these are cut off, because none of them was acknowledged. A
//! disk that loses what it had synced leaves the same picture, but also evidence of the loss: later records that
//! prove that an entry was synced (the log records an entry as committed only once it is on this disk), or a record
//! that is wrong by one bit. In that case the log is refused and left unchanged.

mod records;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use codeq::Decode;
use raft_log::{RaftLogRecord, WALRecord};
use storage::FileError;

use self::records::Records;
use super::log_codec::{LogTypes, MAX_PAYLOAD, StoredOwner};
use super::wal_log::FILE_SIZE;

/// No record is longer than this, because a file takes no further record once it has [`FILE_SIZE`] bytes.
const LONGEST_FILE: u64 = FILE_SIZE as u64 + MAX_PAYLOAD as u64 + (1 << 16);

/// Why a log is not opened. It was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The log is missing.
    #[error(
        "{} is missing: its volume may not be mounted; mount it, or, if it is lost, give this node a new disk with `twm-ctl member replace N`",
        path.display()
    )]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds no complete record of a log.
    #[error(
        "{} holds no Raft log: its volume may not be mounted; mount it, or, if it is lost, give this node a new disk with `twm-ctl member replace N`",
        path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The log does not name its owner.
    #[error(
        "the Raft log in {} does not say which data directory it belongs to: another version of twm-node wrote it; start that version, or give this node a new --data-dir",
        path.display()
    )]
    NoOwner {
        /// The folder.
        path: PathBuf,
    },
    /// The log belongs to another data directory.
    #[error(
        "the Raft log in {} belongs to data directory {found}, and this one is {expected}: another volume may be mounted in its place; mount the right one, or, if it is lost, give this node a new disk with `twm-ctl member replace N`",
        path.display()
    )]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// The owner that the log names.
        found: String,
        /// The owner that tries to open it.
        expected: String,
    },
    /// A record cannot be read, although intact records follow.
    #[error(
        "{} is damaged at byte {offset}, and an intact record follows at byte {intact}; nothing was cut off. This disk loses data: give this node a new one with `twm-ctl member replace N`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Start of the unreadable record.
        offset: u64,
        /// Start of an intact record; equal to `offset` if the record itself would be intact but for one bit.
        intact: u64,
    },
    /// The file is longer than any that the log writes.
    #[error(
        "{} has {bytes} bytes, and no file of a Raft log is longer than {LONGEST_FILE}; this disk loses data: give this node a new one with `twm-ctl member replace N`",
        path.display()
    )]
    Oversized {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// Entries that the log claims to have are missing.
    #[error(
        "the Raft log in {} lacks entry {missing}, its oldest: a file of it is gone. This disk loses data: give this node a new one with `twm-ctl member replace N`",
        path.display()
    )]
    Gap {
        /// The folder.
        path: PathBuf,
        /// Index of the first missing entry.
        missing: u64,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        let kind = match &error {
            LogError::Missing { .. } | LogError::Empty { .. } => ErrorKind::NotFound,
            LogError::File(error) => error.source.kind(),
            _ => ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The torn end of a log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    file: PathBuf,
    /// Start of what cannot be read.
    at: u64,
}

impl Torn {
    /// Cuts it off.
    pub(super) fn cut(&self) -> Result<(), LogError> {
        tracing::warn!(
            file = %self.file.display(), at = self.at,
            "the end of the Raft log was being written when the node ended, and is cut off"
        );
        let failed = |source| FileError { action: "cut the end of", path: self.file.clone(), source };
        let file = File::options().write(true).open(&self.file).map_err(failed)?;
        file.set_len(self.at).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(())
    }
}

/// Checks that a folder holds a log of `owner`, and returns where its end is torn. Read-only.
pub(super) fn check(folder: &Path, owner: &str) -> Result<Vec<Torn>, LogError> {
    let path = || folder.to_owned();
    let mut torn = Vec::new();
    // Newest first. A file without a complete first record is removed when the log is opened, and the one before it
    // becomes the newest; so every file that can be cut or removed is checked.
    for file in files(folder)?.iter().rev() {
        let bytes = read(file)?;
        let records = Records::of(&bytes);
        if let Some(intact) = records.stranded {
            let (offset, intact) = (records.end as u64, intact as u64);
            return Err(LogError::Damaged { path: file.clone(), offset, intact });
        }
        if records.end < bytes.len() {
            torn.push(Torn { file: file.clone(), at: records.end as u64 });
        }
        let Some(checkpoint) = records.checkpoint else { continue };
        let found = owner_in(&bytes[checkpoint]).ok_or_else(|| LogError::NoOwner { path: path() })?;
        if found != owner {
            return Err(LogError::OtherOwner { path: path(), found, expected: owner.to_owned() });
        }
        return Ok(torn);
    }
    Err(LogError::Empty { path: path() })
}

/// The files of a log, oldest first.
fn files(folder: &Path) -> Result<Vec<PathBuf>, LogError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(LogError::Missing { path: folder.to_owned() });
        }
        other => other.map_err(|error| unread(folder, error))?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let name = entry.map_err(|error| unread(folder, error))?.file_name();
        let offset =
            name.to_str().and_then(|name| raft_log::chunked_wal::Config::parse_chunk_file_name(name).ok());
        if let Some(offset) = offset {
            files.push((offset, folder.join(name)));
        }
    }
    files.sort_unstable();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, LogError> {
    let file = File::open(path).map_err(|error| unread(path, error))?;
    let bytes = file.metadata().map_err(|error| unread(path, error))?.len();
    if bytes > LONGEST_FILE {
        return Err(LogError::Oversized { path: path.to_owned(), bytes });
    }
    let mut content = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut content).map_err(|error| unread(path, error))?;
    Ok(content)
}

/// The owner named in a checkpoint.
fn owner_in(checkpoint: &[u8]) -> Option<String> {
    match RaftLogRecord::<LogTypes>::decode(checkpoint) {
        Ok(WALRecord::Checkpoint(state)) => state.user_data.map(|StoredOwner(owner)| owner),
        _ => None,
    }
}

/// Searches bytes as if they were a file, for the fuzz target.
#[cfg(fuzzing)]
pub(super) fn search(bytes: &[u8]) {
    let records = Records::of(bytes);
    let checkpoint = records.checkpoint.map(|checkpoint| &bytes[checkpoint]);
    assert!(checkpoint.is_none_or(|checkpoint| !checkpoint.is_empty()));
    assert!(records.stranded.is_none_or(|at| at >= records.end && at < bytes.len()));
}

fn unread(path: &Path, source: io::Error) -> FileError {
    FileError { action: "read", path: path.to_owned(), source }
}
