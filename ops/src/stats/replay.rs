//! Sends a file's points to carbon.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

/// Timeout of a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long carbon may accept nothing: it pauses its senders while it writes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest line of a point.
const LONGEST_LINE: u64 = 4096;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read {} after {sent} points: {source}; check the path", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Points sent before.
        sent: u64,
        /// The error of the system.
        source: io::Error,
    },
    /// Carbon does not accept the points.
    #[error(
        "carbon at {address} took {sent} points, then: {source}; see that it runs, and replay the file again: points that come twice count once"
    )]
    Carbon {
        /// Where.
        address: String,
        /// Points sent before.
        sent: u64,
        /// The error of the system.
        source: io::Error,
    },
}

/// What was sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    points: u64,
    bad_lines: u64,
    torn: bool,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points sent", self.points)?;
        if self.bad_lines > 0 {
            write!(f, ", {} lines left out that are no points", self.bad_lines)?;
        }
        f.write_str(if self.torn { "; the file's end is torn off" } else { "" })
    }
}

/// Sends all points of a file, and returns when carbon has read them.
///
/// # Errors
/// The file cannot be read, or carbon does not accept all of it.
pub(super) fn replay(path: &Path, address: &str) -> Result<Replayed, ReplayError> {
    let mut replayed = Replayed::default();
    let unreadable = |sent| move |source| ReplayError::File { path: path.to_owned(), sent, source };
    let refused = |sent| move |source| ReplayError::Carbon { address: address.to_owned(), sent, source };
    let mut lines = open(path).map_err(unreadable(0))?;
    let stream = connect(address).map_err(refused(0))?;
    let mut writer = io::BufWriter::with_capacity(64 * 1024, &stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                replayed.torn = true;
                break;
            }
            Err(error) => return Err(unreadable(replayed.points)(error)),
        }
        if is_point(&line) {
            writer.write_all(&line).map_err(refused(replayed.points))?;
            replayed.points += 1;
        } else {
            replayed.bad_lines += 1;
        }
    }
    let flushed = writer.flush();
    drop(writer);
    flushed.and_then(|()| wait_until_read(&stream)).map_err(refused(replayed.points))?;
    Ok(replayed)
}

/// Plain text is accepted as well.
fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(64 * 1024, File::open(path)?);
    if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(file))));
    }
    Ok(Box::new(file))
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => {
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Carbon closes its side when it has read ours to the end.
fn wait_until_read(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Whether this is a complete line `label value unix_seconds`.
fn is_point(line: &[u8]) -> bool {
    let Some(text) = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()) else {
        return false;
    };
    let mut words = text.split(' ');
    let (label, value, seconds, rest) = (words.next(), words.next(), words.next(), words.next());
    let number = |text: Option<&str>| {
        text.and_then(|text| text.parse::<f64>().ok()).is_some_and(|number| number.is_finite())
    };
    label.is_some_and(|label| !label.is_empty()) && number(value) && number(seconds) && rest.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_told_from_other_lines() {
        for good in ["a.b 1 2\n", "a -1.5 1700000000.25\n"] {
            assert!(is_point(good.as_bytes()), "{good:?}");
        }
        for bad in ["a.b 1 2", "a.b 1\n", " 1 2\n", "a x 2\n", "a 1 nan\n", "a 1 2 3\n", "\n", "a 1 inf\n"] {
            assert!(!is_point(bad.as_bytes()), "{bad:?}");
        }
    }
}
