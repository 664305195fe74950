//! The file of all points.
//!
//! It is a sequence of gzip members, one or more for each [`append`](PointsFile::append): any gzip reader reads them
//! as one text. Linux handles a kill between two pages of a write, and no member crosses a page boundary: a killed
//! process leaves whole members behind. Only a power cut can tear the last one; what can be read of it is kept.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::FlockOperation;

/// Largest text of a member that can be repaired, bytes: more than is ever appended at once.
const LARGEST_MEMBER: usize = 32 * 1024 * 1024;
/// Smallest unit that Linux writes without handling a kill, bytes.
const PAGE: usize = 4096;
/// Size of an empty member with an empty extra field, bytes.
const SMALLEST: usize = 22;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PointsFileError {
    /// The system refused.
    #[error("cannot {action} {}: {source}; check the path, its permissions and the free space", path.display())]
    Io {
        /// A verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{} is written by another twm-stats; give this one a file of its own", .0.display())]
    InUse(PathBuf),
}

/// A file that points are added to. Locked as long as it is open.
#[derive(Debug)]
pub(super) struct PointsFile {
    path: PathBuf,
    file: File,
    /// End of the whole members.
    end: u64,
    /// The file did not end with a line break: the next line must not be appended to its last one.
    unfinished_line: bool,
}

impl PointsFile {
    /// Opens or creates a file, and continues after its last whole line.
    ///
    /// A torn end is repaired. A file that is damaged elsewhere, or was not written by this program, is renamed by
    /// appending `.damaged-N`, and a new one is begun.
    ///
    /// # Errors
    /// It cannot be read or written, or another process writes it.
    pub(super) fn open(path: &Path) -> Result<Self, PointsFileError> {
        let failed = |action| move |source| PointsFileError::Io { action, path: path.to_owned(), source };
        if let Err(error) = begin(path) {
            tracing::debug!("cannot begin {}: {error}", path.display());
        }
        let file = open_locked(path)?;
        let contents = Contents::of(&file).map_err(failed("read"))?;
        if let Damage::Elsewhere(why) = &contents.damage {
            let aside = free_name(path);
            fs::rename(path, &aside).map_err(failed("move aside"))?;
            tracing::warn!(
                "{} is damaged ({why}); it is kept as {}, and a new file is begun",
                path.display(),
                aside.display()
            );
            return Self::open(path);
        }
        let mut points = Self {
            path: path.to_owned(),
            file,
            end: contents.end,
            unfinished_line: contents.unfinished_line,
        };
        if let Damage::Torn(kept) = contents.damage {
            tracing::warn!(
                "the end of {} was torn; {} bytes of whole lines of it are kept",
                path.display(),
                kept.len()
            );
            points.append(&kept)?;
        }
        if points.end == 0 {
            // It was empty, or torn at its very beginning. If the disk is full, it refuses the points as well, which
            // then wait.
            if let Err(error) = points.append(b"") {
                tracing::debug!("{error}");
            }
        }
        Ok(points)
    }

    /// Appends whole lines, which are durable on return. After an error nothing of them is in the file.
    ///
    /// # Errors
    /// The disk is full or broken. It can be retried.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), PointsFileError> {
        let added = self.try_append(lines);
        if added.is_err() {
            // Removes the part of the member that fitted on a full disk. If even this fails, the next attempt
            // overwrites it.
            if let Err(error) = self.file.set_len(self.end) {
                tracing::debug!("cannot cut {}: {error}", self.path.display());
            }
        }
        added.map_err(|source| PointsFileError::Io { action: "write", path: self.path.clone(), source })
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        let begin: &[u8] = if self.unfinished_line && !lines.is_empty() { b"\n" } else { b"" };
        let members = members(&[begin, lines].concat(), self.end)?;
        self.file.write_all_at(&members, self.end)?;
        let end = self.end + members.len() as u64;
        // Longer only after a torn end or a failed attempt.
        self.file.set_len(end)?;
        self.file.sync_data()?;
        self.end = end;
        self.unfinished_line &= lines.is_empty();
        Ok(())
    }
}

/// The lines as gzip members, none of which crosses a page boundary of the file, starting at offset `at`: a kill, and
/// a concurrent reader, see a write up to a page boundary. A line that does not fit into one page crosses it
/// nevertheless.
fn members(lines: &[u8], at: u64) -> io::Result<Vec<u8>> {
    if lines.is_empty() && at == 0 {
        return member(lines, None);
    }
    let (mut members, mut rest) = (Vec::new(), lines);
    while !rest.is_empty() {
        let room = PAGE - (at as usize + members.len()) % PAGE;
        let room = if room < SMALLEST { room + PAGE } else { room };
        let (member, taken) = fitting(rest, room)?;
        members.extend_from_slice(&member);
        rest = &rest[taken..];
    }
    Ok(members)
}

/// A member with as many lines as fit, and their length. It leaves room for another one, or none at all.
fn fitting(lines: &[u8], room: usize) -> io::Result<(Vec<u8>, usize)> {
    let mut taken = lines.len();
    loop {
        let member = member(&lines[..taken], None)?;
        match room.checked_sub(member.len()) {
            Some(0) => return Ok((member, taken)),
            Some(left) if left >= SMALLEST && taken == lines.len() => return Ok((member, taken)),
            Some(left @ 2..) => return Ok((self::member(&lines[..taken], Some(left - 2))?, taken)),
            Some(_) | None => {}
        }
        let fewer = lines[..taken / 2].iter().rposition(|byte| *byte == b'\n');
        let first = lines[..taken - 1].iter().position(|byte| *byte == b'\n');
        taken = match fewer.or(first) {
            Some(end) => end + 1,
            None if room < PAGE => return Ok((self::member(b"", Some(room - SMALLEST))?, 0)),
            None => return Ok((member, taken)),
        };
    }
}

/// One gzip member with an extra field of this size, which readers skip (RFC 1952, 2.3.1.1).
fn member(lines: &[u8], extra: Option<usize>) -> io::Result<Vec<u8>> {
    let builder = match extra {
        Some(bytes) => GzBuilder::new().extra(vec![0; bytes]),
        None => GzBuilder::new(),
    };
    let mut encoder = builder.write(Vec::new(), Compression::default());
    encoder.write_all(lines)?;
    encoder.finish()
}

/// Creates the file if there is none, atomically with an empty member, because gzip readers reject an empty file. A
/// kill in between can leave `FILE.new-PID`, which nobody reads.
fn begin(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    // A link instead of a rename: it does not replace a file that another process creates in between.
    let begun = fs::write(&new, members(b"", 0)?).and_then(|()| fs::hard_link(&new, path));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => begun.and(Err(error)),
        _ => begun,
    }
}

fn open_locked(path: &Path) -> Result<File, PointsFileError> {
    let failed = |action| move |source| PointsFileError::Io { action, path: path.to_owned(), source };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(failed("open"))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => Err(PointsFileError::InUse(path.to_owned())),
        other => other.map(|()| file).map_err(io::Error::from).map_err(failed("lock")),
    }
}

fn free_name(path: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        PathBuf::from(name)
    };
    (1..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(0))
}

/// The contents of a file.
struct Contents {
    end: u64,
    unfinished_line: bool,
    damage: Damage,
}

enum Damage {
    None,
    /// The last member is torn; these are its whole lines.
    Torn(Vec<u8>),
    Elsewhere(io::Error),
}

impl Contents {
    fn of(file: &File) -> io::Result<Self> {
        let mut reader = BufReader::with_capacity(64 * 1024, file);
        reader.rewind()?;
        let mut contents = Self { end: 0, unfinished_line: false, damage: Damage::None };
        let length = file.metadata()?.len();
        while contents.end < length {
            let mut member = Member::default();
            match member.read(&mut reader) {
                Ok(()) => {
                    contents.unfinished_line =
                        member.last.map_or(contents.unfinished_line, |byte| byte != b'\n');
                    contents.end = reader.stream_position()?;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && !member.too_large => {
                    let whole = member.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                    member.text.truncate(whole);
                    contents.damage = Damage::Torn(member.text);
                    break;
                }
                Err(error) => {
                    contents.damage = Damage::Elsewhere(error);
                    break;
                }
            }
        }
        Ok(contents)
    }
}

/// One member's text.
#[derive(Default)]
struct Member {
    text: Vec<u8>,
    /// It is longer than the limit: not written by this program.
    too_large: bool,
    last: Option<u8>,
}

impl Member {
    fn read(&mut self, reader: &mut impl io::BufRead) -> io::Result<()> {
        let mut decoder = GzDecoder::new(reader);
        let mut part = [0; 16 * 1024];
        loop {
            match decoder.read(&mut part) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    self.last = Some(part[read - 1]);
                    self.too_large |= self.text.len() + read > LARGEST_MEMBER;
                    if !self.too_large {
                        self.text.extend_from_slice(&part[..read]);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
#[path = "points_file_tests.rs"]
mod tests;
