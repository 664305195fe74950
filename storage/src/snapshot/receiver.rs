//! Receives a snapshot from another node, in pieces.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{SnapshotError, SnapshotReader};
use crate::durable::{self, Naming};

const PARTIAL: &str = ".partial";
const WHOLE: &str = ".snapshot";

/// Collects a snapshot `ID` in `ID.partial`, across restarts: received pieces are not sent again.
#[derive(Debug)]
pub struct SnapshotReceiver {
    folder: PathBuf,
    id: String,
    path: PathBuf,
    file: File,
    offset: u64,
}

impl SnapshotReceiver {
    /// Continues or begins snapshot `id` in `folder`; those with other ids are removed.
    ///
    /// # Errors
    /// An id that is not a valid file name, or a folder that cannot be written.
    pub fn open(folder: &Path, id: &str) -> Result<Self, SnapshotError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=200).contains(&id.len()) || id.starts_with('.') || !id.chars().all(fits) {
            return Err(SnapshotError::BadId(id.chars().take(300).collect()));
        }
        durable::create_folder(folder)?;
        let path = folder.join(format!("{id}{PARTIAL}"));
        for entry in fs::read_dir(folder).naming("list", folder)? {
            let other = entry.naming("list", folder)?.path();
            if other != path && other.as_os_str().as_encoded_bytes().ends_with(PARTIAL.as_bytes()) {
                durable::remove_file(&other)?;
            }
        }
        let file = durable::private_file().append(true).create(true).open(&path).naming("open", &path)?;
        let offset = file.metadata().naming("read", &path)?.len();
        Ok(Self { folder: folder.to_owned(), id: id.to_owned(), path, file, offset })
    }

    /// Bytes received: the offset at which the sender continues.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Accepts the piece that starts at `offset`. Bytes that are already here are skipped, so a repeated
    /// piece does no harm.
    ///
    /// # Errors
    /// A piece that leaves a gap, or a failed write.
    pub fn append(&mut self, offset: u64, piece: &[u8]) -> Result<(), SnapshotError> {
        let Some(known) = self.offset.checked_sub(offset) else {
            return Err(SnapshotError::Gap { id: self.id.clone(), here: self.offset, found: offset });
        };
        let new = usize::try_from(known).ok().and_then(|known| piece.get(known..)).unwrap_or_default();
        if let Err(source) = self.file.write_all(new) {
            // A part of the piece may have been written, which the length shows.
            self.offset = self.file.metadata().naming("read", &self.path)?.len();
            return Err(source).naming("write", &self.path).map_err(SnapshotError::from);
        }
        self.offset += new.len() as u64;
        Ok(())
    }

    /// Ends the transfer: checks every byte, makes the file durable as `ID.snapshot` and returns its path.
    ///
    /// # Errors
    /// A wrong length keeps the received part. A damaged file is removed, so that the next attempt starts
    /// over: pieces written before a power cut may have come back as zeros.
    pub fn finish(self, expected: u64) -> Result<PathBuf, SnapshotError> {
        if self.offset != expected {
            let (id, here) = (self.id, self.offset);
            if here > expected {
                durable::remove_file(&self.path)?;
            }
            return Err(SnapshotError::WrongLength { id, here, expected });
        }
        self.file.sync_all().naming("sync", &self.path)?;
        let checked =
            SnapshotReader::open(&self.path).and_then(|mut entries| entries.try_for_each(|e| e.map(drop)));
        if let Err(error @ SnapshotError::Damaged { .. }) = checked {
            durable::remove_file(&self.path)?;
            return Err(error);
        }
        checked?;
        let whole = self.folder.join(format!("{}{WHOLE}", self.id));
        fs::rename(&self.path, &whole).naming("rename", &self.path)?;
        durable::sync_folder(&self.folder)?;
        Ok(whole)
    }
}
