//! Reads a list as a stream.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use storage::dataset::SourceName;
use storage::ids::UserId;

use super::line::{BadLine, MAX_LINE, Target, parse_line, parse_line_of_source};

const BUFFER: usize = 64 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It cannot be opened.
    #[error("{name} cannot be opened: {source}")]
    Open {
        /// The file.
        name: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It ends or fails in the middle.
    #[error("{name} cannot be read beyond line {line}: {source}")]
    Read {
        /// The file.
        name: String,
        /// The last line that was read.
        line: u64,
        /// What was found.
        source: io::Error,
    },
}

/// A line with content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It contains an account.
    Account(UserId),
    /// It contains a screen name.
    Name {
        /// Its number, from 1.
        line: u64,
        /// The name, without its `@`.
        name: String,
    },
    /// It does not.
    Bad {
        /// Its number, from 1.
        line: u64,
        /// Why.
        why: BadLine,
    },
}

/// A list of accounts, plain or gzip, read as a stream with bounded memory. Yields an entry for each line
/// that is neither blank nor a comment, and ends after a [`ListError`].
pub struct TargetList {
    name: String,
    input: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
    over: bool,
    parse: ParseLine,
}

type ParseLine = fn(&[u8]) -> Result<Option<Target>, BadLine>;

impl TargetList {
    /// Opens a file, or standard input for `-`.
    pub fn open(path: &Path) -> Result<Self, ListError> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", io::stdin());
        }
        let name = path.display().to_string();
        let file = File::open(path).map_err(|source| ListError::Open { name: name.clone(), source })?;
        Self::from_reader(&name, file)
    }

    /// Reads from any reader; `name` is used in errors. Blocks until two bytes arrive.
    pub fn from_reader(name: &str, mut input: impl Read + Send + 'static) -> Result<Self, ListError> {
        let name = name.to_owned();
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        let read = input.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head);
        read.map_err(|source| ListError::Open { name: name.clone(), source })?;
        let packed = head == GZIP_MAGIC;
        let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(input));
        let input: Box<dyn BufRead + Send> = if packed {
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self { name, input, line: Vec::new(), number: 0, over: false, parse: parse_line })
    }

    /// The same list, of accounts of this source.
    #[must_use]
    pub fn of(self, source: &SourceName) -> Self {
        let parse: ParseLine = if source.is_default() { parse_line } else { parse_line_of_source };
        Self { parse, ..self }
    }

    /// The list's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the next line into `self.line`, cut off one byte after the longest valid one. Returns whether
    /// there was one.
    fn read_line(&mut self) -> io::Result<bool> {
        self.line.clear();
        let mut any = false;
        loop {
            let buffer = match self.input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if buffer.is_empty() {
                return Ok(any);
            }
            any = true;
            let newline = buffer.iter().position(|&b| b == b'\n');
            let part = &buffer[..newline.unwrap_or(buffer.len())];
            let room = MAX_LINE + 1 - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(newline.is_some());
            self.input.consume(used);
            if newline.is_some() {
                return Ok(true);
            }
        }
    }

    fn parse(&self) -> Result<Option<Target>, BadLine> {
        if self.line.len() > MAX_LINE {
            return Err(BadLine::TooLong);
        }
        let line = match self.line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.number == 1 => rest,
            _ => &self.line,
        };
        (self.parse)(line)
    }
}

impl Iterator for TargetList {
    type Item = Result<Entry, ListError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            match self.read_line() {
                Ok(true) => self.number += 1,
                Ok(false) => break,
                Err(source) => {
                    self.over = true;
                    return Some(Err(ListError::Read { name: self.name.clone(), line: self.number, source }));
                }
            }
            match self.parse() {
                Ok(Some(Target::Account(user))) => return Some(Ok(Entry::Account(user))),
                Ok(Some(Target::Name(name))) => return Some(Ok(Entry::Name { line: self.number, name })),
                Ok(None) => {}
                Err(why) => return Some(Ok(Entry::Bad { line: self.number, why })),
            }
        }
        self.over = true;
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use storage::ids::InvalidUserId;

    use super::*;

    fn read(bytes: impl Into<Vec<u8>>) -> Vec<Entry> {
        let list = TargetList::from_reader("list", Cursor::new(bytes.into())).unwrap();
        list.collect::<Result<_, _>>().unwrap()
    }

    fn targets(ids: &[u64]) -> Vec<Entry> {
        ids.iter().map(|&n| Entry::Account(n.into())).collect()
    }

    fn bad(line: u64, why: BadLine) -> Entry {
        Entry::Bad { line, why }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn line_ends_marks_comments_and_blank_lines_do_not_count() {
        assert_eq!(read("\u{feff}1\r\n\r\n# no\n 2 \n\n3"), targets(&[1, 2, 3]));
        assert_eq!(read(""), []);
        assert_eq!(read("\n\n#\n"), []);
        assert_eq!(read("5"), targets(&[5]));
    }

    #[test]
    fn a_list_can_be_gzip_of_several_members() {
        let mut bytes = gzip(b"1\n2\n");
        bytes.extend(gzip(b"T,3,0\n"));
        assert_eq!(read(bytes), targets(&[1, 2, 3]));
    }

    #[test]
    fn a_torn_gzip_gives_what_is_good_and_then_an_error_with_the_line() {
        let text: String =
            (1..=100_000).map(|n: u64| format!("{}\n", n.wrapping_mul(0x9e37_79b9) >> 1)).collect();
        let mut bytes = gzip(text.as_bytes());
        bytes.truncate(bytes.len() / 2);
        let list = TargetList::from_reader("torn", Cursor::new(bytes)).unwrap();
        let entries: Vec<_> = list.collect();
        let good = entries.iter().filter(|e| matches!(e, Ok(Entry::Account(_)))).count();
        assert!(good > 10_000, "{good}");
        match entries.last() {
            Some(Err(ListError::Read { name, line, .. })) => {
                assert_eq!((name.as_str(), *line), ("torn", good as u64))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_bad_line_is_numbered_and_stops_nothing() {
        let text = b"1\nAndr\xe9\n-7\n99999999999999999999\n@jack\n2\n";
        let expected = [
            Entry::Account(1.into()),
            bad(2, BadLine::NotUtf8),
            bad(3, BadLine::Id(InvalidUserId::Negative("-7".into()))),
            bad(4, BadLine::Id(InvalidUserId::OutOfRange("99999999999999999999".into()))),
            Entry::Name { line: 5, name: "jack".to_owned() },
            Entry::Account(2.into()),
        ];
        assert_eq!(read(*text), expected);
    }

    #[test]
    fn a_long_line_is_one_bad_line_in_bounded_memory() {
        let mut bytes = b"1\n".to_vec();
        bytes.resize(1_000_000, b'9');
        bytes.extend(b"\n2\n");
        let mut list = TargetList::from_reader("long", Cursor::new(bytes)).unwrap();
        let entries: Vec<_> = list.by_ref().map(Result::unwrap).collect();
        assert_eq!(entries, [Entry::Account(1.into()), bad(2, BadLine::TooLong), Entry::Account(2.into())]);
        assert!(list.line.capacity() <= 4 * MAX_LINE, "{}", list.line.capacity());
    }

    #[test]
    fn another_encoding_is_bad_lines_only() {
        let utf16: Vec<u8> = "1\r\n2\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(read(utf16).iter().all(|e| matches!(e, Entry::Bad { why: BadLine::Binary, .. })));
        let noise: Vec<u8> =
            (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
        assert!(read(noise).iter().all(|e| matches!(e, Entry::Bad { .. })));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = TargetList::open(Path::new("/nowhere/list")).err().unwrap();
        assert!(error.to_string().contains("/nowhere/list"), "{error}");
    }
}
