//! Reading a follower list.

use std::fs::File;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::input::{LineReader, decode, read_error};
use super::{Codec, DatasetError, Result};
use crate::durable::Naming;
use crate::ids::UserId;

/// A packed list starts with a byte below this one, a text list does not (`0x30` is the digit 0).
pub(super) const FIRST_TEXT_BYTE: u8 = 0x30;
/// Bytes of a packed id.
pub(super) const PACKED_BYTES: usize = 8;

/// Yields a list's ids in the order in which they were written; ends after the first error.
pub struct FollowersReader {
    ids: Ids,
    codec: Codec,
    ended: bool,
}

enum Ids {
    Text(LineReader),
    Packed { path: PathBuf, input: Box<dyn BufRead + Send>, count: u64 },
}

impl FollowersReader {
    /// Opens a list: lines or packed, compressed or plain.
    ///
    /// # Errors
    /// No such file, or one that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of_file(path, File::open(path).naming("open", path)?)
    }

    /// Reads an open file; `path` is for messages.
    pub(super) fn of_file(path: &Path, file: File) -> Result<Self> {
        let mut decoded = decode(path, file)?;
        let start = decoded.bytes.fill_buf().map_err(|source| read_error(path, 1, source))?;
        let packed = start.first().is_some_and(|byte| *byte < FIRST_TEXT_BYTE);
        let ids = if packed {
            Ids::Packed { path: path.to_owned(), input: decoded.bytes, count: 0 }
        } else {
            Ids::Text(LineReader::new(path, decoded.bytes))
        };
        Ok(Self { ids, codec: decoded.codec, ended: false })
    }

    /// How the file is compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether the ids are packed.
    pub fn packed(&self) -> bool {
        matches!(self.ids, Ids::Packed { .. })
    }

    /// Bytes read, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        match &self.ids {
            Ids::Text(lines) => lines.bytes(),
            Ids::Packed { count, .. } => count * PACKED_BYTES as u64,
        }
    }

    /// Rejects a last line without a line end. Every list is written with one: without it, the id may be
    /// truncated, and a prefix of an id is another account's.
    pub(super) fn check_end(&self) -> Result<()> {
        match &self.ids {
            Ids::Text(lines) if !lines.ended() => {
                Err(lines.unreadable("the last line has no line end: its id may be cut off"))
            }
            _ => Ok(()),
        }
    }

    fn read(&mut self) -> Result<Option<UserId>> {
        match &mut self.ids {
            Ids::Text(lines) => {
                let Some(line) = lines.next_line()? else { return Ok(None) };
                match line.trim_start().parse() {
                    Ok(id) => Ok(Some(id)),
                    Err(invalid) => Err(lines.unreadable(format!("{invalid}"))),
                }
            }
            Ids::Packed { path, input, count } => {
                let number = read_packed(input).map_err(|source| read_error(path, *count + 1, source))?;
                *count += u64::from(number.is_some());
                match number {
                    Some(0) => {
                        let why = "zero is no account id".to_owned();
                        Err(DatasetError::Unreadable { path: path.clone(), item: *count, why })
                    }
                    other => Ok(other.map(UserId::Number)),
                }
            }
        }
    }
}

fn read_packed(input: &mut impl BufRead) -> io::Result<Option<u64>> {
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut id = [0; PACKED_BYTES];
    input.read_exact(&mut id).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(io::ErrorKind::InvalidData, "the last packed id is cut off")
        }
        _ => error,
    })?;
    Ok(Some(u64::from_be_bytes(id)))
}

impl Iterator for FollowersReader {
    type Item = Result<UserId>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let id = self.read();
        self.ended = !matches!(id, Ok(Some(_)));
        id.transpose()
    }
}
