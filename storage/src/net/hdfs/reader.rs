//! Reads files.

use std::io::{self, Read};

use bytes::Bytes;
use hdfs_native::file::FileReader;

use super::{Hdfs, HdfsError, HdfsProblem};

/// Bytes fetched at a time.
const PIECE: usize = 1 << 20;

/// A file, from its start. Its errors contain an [`HdfsError`].
pub struct HdfsFile {
    hdfs: Hdfs,
    name: String,
    /// Absent after an error.
    reader: Option<FileReader>,
    position: usize,
    piece: Bytes,
}

impl HdfsFile {
    pub(super) fn new(hdfs: Hdfs, name: String, reader: FileReader) -> Self {
        Self { hdfs, name, reader: Some(reader), position: 0, piece: Bytes::new() }
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.reader.as_ref().map_or(0, |reader| reader.file_length() as u64)
    }

    fn fetch(&mut self) -> Result<(), HdfsError> {
        let Some(reader) = self.reader.take() else {
            let why = "it failed before; open it again".to_owned();
            return Err(self.hdfs.error(format!("read {}", self.name), HdfsProblem::Broken(why)));
        };
        let position = self.position;
        // The crate panics beyond the end.
        let length = PIECE.min(reader.file_length().saturating_sub(position));
        if length == 0 {
            self.reader = Some(reader);
            return Ok(());
        }
        let fetched = self.hdfs.transfer("read", &self.name, async move {
            let bytes = reader.read_range(position, length).await?;
            Ok((reader, bytes))
        });
        let (reader, bytes) = fetched?;
        if bytes.len() != length {
            let why = format!("{} bytes came instead of {length}", bytes.len());
            return Err(self.hdfs.error(format!("read {}", self.name), HdfsProblem::NoDatanode(why)));
        }
        self.reader = Some(reader);
        self.position += bytes.len();
        self.piece = bytes;
        Ok(())
    }
}

impl Read for HdfsFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.piece.is_empty() {
            self.fetch()?;
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
