//! Writing a snapshot.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::block::{self, FULL_BYTES};
use super::{MAX_HEADER_BYTES, SnapshotError};
use crate::durable::{self, Naming};
use crate::ids::varint;
use crate::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

const UNFINISHED: &str = ".new";

/// The contents of a finished snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Size of the file.
    pub bytes: u64,
    /// Entries in it.
    pub entries: u64,
}

/// Writes a snapshot under a temporary name; it gets its own name only when it is complete and durable.
#[derive(Debug)]
pub struct SnapshotWriter {
    path: PathBuf,
    temporary: PathBuf,
    out: BufWriter<File>,
    /// Entries of the block being filled.
    block: Vec<u8>,
    entries: u64,
    bytes: u64,
    blocks: crc32fast::Hasher,
    finished: bool,
}

impl SnapshotWriter {
    /// Begins the snapshot `path`, which replaces an existing one once it is finished.
    ///
    /// # Errors
    /// A header over [`MAX_HEADER_BYTES`], or a file that cannot be written.
    pub fn create(path: &Path, header: &[u8]) -> Result<Self, SnapshotError> {
        check("header", header.len(), MAX_HEADER_BYTES)?;
        let mut temporary = OsString::from(path);
        temporary.push(UNFINISHED);
        let temporary = PathBuf::from(temporary);
        let file = durable::private_file()
            .create(true)
            .truncate(true)
            .write(true)
            .open(&temporary)
            .naming("create", &temporary)?;
        let mut writer = Self {
            path: path.to_owned(),
            temporary,
            out: BufWriter::with_capacity(FULL_BYTES, file),
            block: Vec::new(),
            entries: 0,
            bytes: 0,
            blocks: crc32fast::Hasher::new(),
            finished: false,
        };
        let prefix = [&block::MAGIC[..], &block::FORMAT.to_le_bytes()].concat();
        writer.out.write_all(&prefix).naming("write", &writer.temporary)?;
        writer.bytes = prefix.len() as u64;
        writer.write_block(block::HEADER, header)?;
        Ok(writer)
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// A key or value that the state store would refuse, or a failed write.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        check("key", key.len(), MAX_KEY_BYTES)?;
        check("value", value.len(), MAX_VALUE_BYTES)?;
        varint::put(&mut self.block, key.len() as u64);
        varint::put(&mut self.block, value.len() as u64);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.entries += 1;
        if self.block.len() >= FULL_BYTES {
            self.write_entries()?;
        }
        Ok(())
    }

    /// Writes the rest, syncs the file and renames it.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        if !self.block.is_empty() {
            self.write_entries()?;
        }
        let blocks = self.blocks.clone().finalize();
        let end = [&self.entries.to_le_bytes()[..], &blocks.to_le_bytes()].concat();
        self.write_block(block::END, &end)?;
        self.out.flush().naming("write", &self.temporary)?;
        self.out.get_ref().sync_all().naming("sync", &self.temporary)?;
        fs::rename(&self.temporary, &self.path).naming("rename", &self.temporary)?;
        self.finished = true;
        durable::sync_parent(&self.path)?;
        Ok(SnapshotInfo { bytes: self.bytes, entries: self.entries })
    }

    fn write_entries(&mut self) -> Result<(), SnapshotError> {
        let mut block = std::mem::take(&mut self.block);
        self.write_block(block::ENTRIES, &block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn write_block(&mut self, kind: u8, payload: &[u8]) -> Result<(), SnapshotError> {
        let crc = block::write(&mut self.out, kind, payload).naming("write", &self.temporary)?;
        self.blocks.update(&crc.to_le_bytes());
        self.bytes += (block::FRAME_BYTES + payload.len()) as u64;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            if let Err(error) = durable::remove_file(&self.temporary) {
                tracing::warn!(%error, "an unfinished snapshot stays until the next start");
            }
        }
    }
}

/// Removes unfinished snapshots that a crash left in `folder`; none may be in progress there.
pub fn remove_unfinished(folder: &Path) -> Result<(), SnapshotError> {
    for entry in fs::read_dir(folder).naming("list", folder)? {
        let path = entry.naming("list", folder)?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
            durable::remove_file(&path)?;
        }
    }
    Ok(())
}

fn check(what: &'static str, bytes: usize, limit: usize) -> Result<(), SnapshotError> {
    match bytes > limit {
        true => Err(SnapshotError::TooLarge { what, bytes, limit }),
        false => Ok(()),
    }
}
