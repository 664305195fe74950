//! Reads compressed and plain files.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::{Codec, DatasetError, Result};
use crate::durable::{FileError, Naming};

/// Longest line that is read or written, in bytes.
pub const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

const BUFFER_BYTES: usize = 64 * 1024;

/// The decompressed bytes of a file.
pub struct Decoded {
    /// Their reader.
    pub bytes: Box<dyn BufRead + Send>,
    /// How the file is compressed.
    pub codec: Codec,
}

/// Opens a file, compressed (with all its members or frames) or plain.
///
/// # Errors
/// No such file, or one that cannot be read.
pub fn open_decoded(path: &Path) -> Result<Decoded> {
    decode(path, File::open(path).naming("open", path)?)
}

/// Decodes an open file; `path` is for messages.
pub(super) fn decode(path: &Path, file: File) -> Result<Decoded> {
    let mut input = BufReader::with_capacity(BUFFER_BYTES, file);
    let codec = Codec::of_start(input.fill_buf().naming("read", path)?);
    let bytes = codec.decode(input).naming("read", path)?;
    Ok(Decoded { bytes, codec })
}

/// Distinguishes a failing disk from a damaged file: only the latter is set aside.
pub(super) fn read_error(path: &Path, item: u64, source: io::Error) -> DatasetError {
    if source.raw_os_error().is_some() {
        return FileError { action: "read", path: path.to_owned(), source }.into();
    }
    let why = match source.kind() {
        io::ErrorKind::UnexpectedEof => "the compressed data ends in the middle".to_owned(),
        _ => source.to_string(),
    };
    DatasetError::Unreadable { path: path.to_owned(), item, why }
}

/// Reads lines of bounded length; blank ones are skipped.
pub(super) struct LineReader {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    line: String,
    /// Lines read.
    count: u64,
    /// Bytes read.
    bytes: u64,
    /// Whether the last line has a line end.
    ended: bool,
}

impl LineReader {
    pub(super) fn new(path: &Path, input: Box<dyn BufRead + Send>) -> Self {
        Self { path: path.to_owned(), input, line: String::new(), count: 0, bytes: 0, ended: true }
    }

    /// The next line without trailing white space; `None` at the end of the file.
    pub(super) fn next_line(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        while self.line.is_empty() {
            let mut limited = (&mut self.input).take(MAX_LINE_BYTES as u64 + 1);
            let read = limited.read_line(&mut self.line);
            let read = read.map_err(|source| read_error(&self.path, self.count + 1, source))?;
            if read == 0 {
                return Ok(None);
            }
            self.bytes += read as u64;
            let ended = self.line.ends_with('\n');
            if self.line.len() > MAX_LINE_BYTES {
                self.count += 1;
                return Err(self.unreadable("a line that is longer than any line"));
            }
            self.line.truncate(self.line.trim_end().len());
            self.ended = ended || self.line.is_empty();
        }
        self.count += 1;
        Ok(Some(&self.line))
    }

    /// Bytes read, decompressed.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the last line has a line end.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The last line.
    pub(super) fn last_line(&self) -> &str {
        &self.line
    }

    /// An error about the last line.
    pub(super) fn unreadable(&self, why: impl Into<String>) -> DatasetError {
        DatasetError::Unreadable { path: self.path.clone(), item: self.count, why: why.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: impl Into<Vec<u8>>) -> LineReader {
        LineReader::new(Path::new("7.twt"), Box::new(io::Cursor::new(text.into())))
    }

    #[test]
    fn the_longest_line_is_read_and_a_longer_one_is_named_by_its_number() {
        let (longest, longer) = ("x".repeat(MAX_LINE_BYTES - 1), "x".repeat(MAX_LINE_BYTES));
        let mut lines = reader(format!("one\n\n{longest}\n{longer}\n"));
        assert_eq!(lines.next_line().unwrap(), Some("one"));
        assert_eq!(lines.next_line().unwrap().map(str::len), Some(longest.len()));
        let refused = lines.next_line().unwrap_err();
        assert!(matches!(refused, DatasetError::Unreadable { item: 3, .. }), "{refused}");
    }

    #[test]
    fn bytes_that_are_no_text_are_named_by_the_number_of_their_line() {
        let mut lines = reader(b"one\n\xff\n");
        assert_eq!(lines.next_line().unwrap(), Some("one"));
        let refused = lines.next_line().unwrap_err();
        assert!(matches!(refused, DatasetError::Unreadable { item: 2, .. }), "{refused}");
    }
}
