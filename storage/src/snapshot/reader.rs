//! Reading a snapshot.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::SnapshotError;
use super::block::{self, BadBlock, Block};
use crate::durable::{FileError, Naming};
use crate::ids::varint;
use crate::state::Entry;

/// Yields a snapshot's entries, and an error if it is damaged: it was complete only if there is no error.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
    input: BufReader<File>,
    header: Vec<u8>,
    /// Offset of the block being read.
    at: u64,
    /// Offset of the next block.
    next: u64,
    /// The block being read, and the offset of the next entry.
    block: (Vec<u8>, usize),
    entries: u64,
    blocks: crc32fast::Hasher,
    ended: bool,
}

impl SnapshotReader {
    /// Opens a snapshot and reads its header.
    ///
    /// # Errors
    /// No such file, a newer format, or a damaged header.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let file = File::open(path).naming("open", path)?;
        let mut reader = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(block::FULL_BYTES, file),
            header: Vec::new(),
            at: 0,
            next: 0,
            block: (Vec::new(), 0),
            entries: 0,
            blocks: crc32fast::Hasher::new(),
            ended: false,
        };
        reader.read_prefix()?;
        let header = reader.read_block()?;
        if header.kind != block::HEADER {
            return Err(reader.damaged("the first block is no header"));
        }
        reader.header = header.payload;
        Ok(reader)
    }

    /// The header that the snapshot was written with.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    fn read_prefix(&mut self) -> Result<(), SnapshotError> {
        let mut prefix = [0; 10];
        match self.input.read_exact(&mut prefix) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged("the file ends in the middle"));
            }
            other => other.naming("read", &self.path)?,
        }
        let [magic @ .., low, high] = prefix;
        if magic != block::MAGIC {
            return Err(self.damaged("it is no snapshot"));
        }
        let found = u16::from_le_bytes([low, high]);
        if found != block::FORMAT {
            let path = self.path.clone();
            return Err(SnapshotError::NewerFormat { path, found, supported: block::FORMAT });
        }
        self.next = prefix.len() as u64;
        Ok(())
    }

    fn read_block(&mut self) -> Result<Block, SnapshotError> {
        self.at = self.next;
        let block = block::read(&mut self.input).map_err(|bad| match bad {
            BadBlock::Damaged(why) => self.damaged(why),
            BadBlock::Io(source) => FileError { action: "read", path: self.path.clone(), source }.into(),
        })?;
        self.next += (block::FRAME_BYTES + block.payload.len()) as u64;
        // The end block's own checksum is not covered by it.
        if block.kind != block::END {
            self.blocks.update(&block.crc.to_le_bytes());
        }
        Ok(block)
    }

    fn read_entry(&mut self) -> Result<Option<Entry>, SnapshotError> {
        while self.block.1 == self.block.0.len() {
            let block = self.read_block()?;
            match block.kind {
                block::ENTRIES => self.block = (block.payload, 0),
                block::END => return self.check_end(&block.payload).map(|()| None),
                _ => return Err(self.damaged("a block of an unknown kind")),
            }
        }
        let (bytes, at) = &mut self.block;
        match split_entry(bytes, at) {
            Some(entry) => {
                self.entries += 1;
                Ok(Some(entry))
            }
            None => Err(self.damaged("an entry that is cut off")),
        }
    }

    fn check_end(&mut self, payload: &[u8]) -> Result<(), SnapshotError> {
        let blocks = self.blocks.clone().finalize();
        let expected = [&self.entries.to_le_bytes()[..], &blocks.to_le_bytes()].concat();
        if payload != expected {
            return Err(self.damaged("blocks are missing before the end"));
        }
        match self.input.read(&mut [0]).naming("read", &self.path)? {
            0 => Ok(()),
            _ => Err(self.damaged("there is more behind the end")),
        }
    }

    fn damaged(&self, why: &'static str) -> SnapshotError {
        SnapshotError::Damaged { path: self.path.clone(), at: self.at, why }
    }
}

fn split_entry(bytes: &[u8], at: &mut usize) -> Option<Entry> {
    let key_bytes = usize::try_from(varint::get(bytes, at)?).ok()?;
    let value_bytes = usize::try_from(varint::get(bytes, at)?).ok()?;
    let (key, rest) = bytes[*at..].split_at_checked(key_bytes)?;
    let value = rest.get(..value_bytes)?;
    *at += key_bytes + value_bytes;
    Some((key.to_vec(), value.to_vec()))
}

impl Iterator for SnapshotReader {
    type Item = Result<Entry, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.read_entry();
        self.ended = !matches!(entry, Ok(Some(_)));
        entry.transpose()
    }
}
