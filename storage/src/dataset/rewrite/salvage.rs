//! Decodes a file that may be damaged.
//!
//! A gzip member (RFC 1952) or zstd frame (RFC 8878) that is cut off is read up to the cut, and reading continues at
//! the next one that can be found. Save points and updates end them, so damage in one costs only its rest. Both are
//! called members here.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use crate::dataset::compression::{GZIP_MAGIC, ZSTD_MAGIC};
use crate::dataset::{Codec, Result};
use crate::durable::Naming;

/// Buffered stored bytes.
const WINDOW_BYTES: usize = 64 * 1024;
/// Decompressed bytes returned at a time.
const PIECE_BYTES: usize = 32 * 1024;
/// A decoder on damaged data can consume the start of the next member before it fails: the search starts this
/// far before the failure.
const LOOK_BACK: u64 = 64 * 1024;
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;

/// What follows the bytes returned by a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    /// More data.
    More,
    /// The end of a member, with a correct checksum of all bytes since the last such boundary.
    Checked,
    /// A gap: what follows starts afresh.
    Break,
    /// The end of the file.
    End,
}

/// Yields what can be decoded of a file.
pub(super) struct SalvageReader {
    path: PathBuf,
    file: File,
    window: Vec<u8>,
    /// Offset of the window in the file.
    window_at: u64,
    /// Offset of the next stored byte.
    at: u64,
    state: State,
    codec: Codec,
    /// Stored bytes that could not be decoded.
    pub(super) skipped: u64,
    /// Members that are cut off or have a wrong checksum.
    pub(super) broken: u64,
    /// Whether the file ends in the middle of a member.
    pub(super) truncated: bool,
}

enum State {
    Plain,
    Member(Box<Member>),
    Ended,
}

/// A member being read.
struct Member {
    start: u64,
    decoder: MemberDecoder,
}

enum MemberDecoder {
    Gzip {
        decoder: Decompress,
        checksum: Crc,
    },
    Zstd {
        decoder: Decoder<'static>,
        /// Whether the frame has a checksum, which the decoder compares.
        checked: bool,
    },
}

/// The result of decoding once.
struct Decoded {
    consumed: usize,
    produced: usize,
    /// Whether the member's data has ended; an error if it is damaged.
    ended: Result<bool, ()>,
}

impl MemberDecoder {
    fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Decoded {
        match self {
            Self::Gzip { decoder, checksum } => {
                let (before_in, before_out) = (decoder.total_in(), decoder.total_out());
                let status = decoder.decompress(input, out, FlushDecompress::None);
                let consumed = (decoder.total_in() - before_in) as usize;
                let produced = (decoder.total_out() - before_out) as usize;
                checksum.update(&out[..produced]);
                let ended = status.map(|status| status == Status::StreamEnd).map_err(drop);
                Decoded { consumed, produced, ended }
            }
            Self::Zstd { decoder, .. } => {
                let (mut input, mut out) = (InBuffer::around(input), OutBuffer::around(out));
                let left = decoder.run(&mut input, &mut out);
                let ended = left.map(|left| left == 0).map_err(drop);
                Decoded { consumed: input.pos(), produced: out.pos(), ended }
            }
        }
    }
}

impl SalvageReader {
    /// Reads `file`; `path` is for messages.
    pub(super) fn new(path: &Path, file: File) -> Result<Self> {
        let mut salvage = Self {
            path: path.to_owned(),
            file,
            window: Vec::new(),
            window_at: 0,
            at: 0,
            state: State::Plain,
            codec: Codec::Plain,
            skipped: 0,
            broken: 0,
            truncated: false,
        };
        let start = salvage.stored(0, HEADER_BYTES)?;
        let exact = Codec::of_start(start);
        salvage.codec = if exact.is_compressed() { exact } else { codec_of_damaged(start) };
        if salvage.codec.is_compressed() {
            match salvage.next_member(0)? {
                Some(member) => salvage.state = member,
                None if exact.is_compressed() => salvage.search(0, 0)?,
                None => salvage.codec = Codec::Plain,
            }
        }
        Ok(salvage)
    }

    /// How the file is compressed.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Appends the next bytes to `out`, possibly none, and returns what follows them.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> Result<Boundary> {
        match self.state {
            State::Ended => Ok(Boundary::End),
            State::Plain => {
                let bytes = self.stored(self.at, 1)?;
                let length = bytes.len() as u64;
                out.extend_from_slice(bytes);
                self.at += length;
                Ok(if length == 0 { Boundary::End } else { Boundary::More })
            }
            State::Member(_) => self.decode(out),
        }
    }

    fn decode(&mut self, out: &mut Vec<u8>) -> Result<Boundary> {
        self.stored(self.at, 1)?;
        let State::Member(member) = &mut self.state else { return Ok(Boundary::End) };
        let input = behind(&self.window, self.window_at, self.at);
        if input.is_empty() {
            self.truncated = true;
            return self.damage();
        }
        let start = out.len();
        out.resize(start + PIECE_BYTES, 0);
        let Decoded { consumed, produced, ended } = member.decoder.decode(input, &mut out[start..]);
        out.truncate(start + produced);
        self.at += consumed as u64;
        match ended {
            Ok(true) => self.end_member(),
            Ok(false) if produced > 0 || consumed > 0 => Ok(Boundary::More),
            _ => self.damage(),
        }
    }

    /// After a member's data: its checksum and length, and the next member.
    fn end_member(&mut self) -> Result<Boundary> {
        let State::Member(member) = &self.state else { return Ok(Boundary::End) };
        let (sum, length) = match &member.decoder {
            MemberDecoder::Gzip { checksum, .. } => (checksum.sum(), checksum.amount()),
            MemberDecoder::Zstd { checked, .. } => {
                let then = if *checked { Boundary::Checked } else { Boundary::More };
                return self.pass_member(self.at, true).map(|_| then);
            }
        };
        let trailer = self.stored(self.at, TRAILER_BYTES)?;
        let Some(trailer) = trailer.first_chunk::<TRAILER_BYTES>() else {
            self.truncated = true;
            return self.damage();
        };
        let [a, b, c, d, e, f, g, h] = *trailer;
        let good = (sum, length) == (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let end = self.at + TRAILER_BYTES as u64;
        self.broken += u64::from(!good);
        if !self.pass_member(end, good)? {
            // A decoder on damaged data can come to an end where there is none.
            return self.leave_member();
        }
        Ok(if good { Boundary::Checked } else { Boundary::Break })
    }

    /// Continues behind a member that ends at `end`. Returns whether that is possible: behind a member that is not
    /// `good`, only if another one follows at once.
    fn pass_member(&mut self, end: u64, good: bool) -> Result<bool> {
        if self.stored(end, 1)?.is_empty() {
            self.at = end;
            self.state = State::Ended;
        } else if let Some(next) = self.next_member(end)? {
            self.state = next;
        } else if good {
            // Data was appended to the file.
            self.search(end, end)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Records a member that cannot be read further.
    fn damage(&mut self) -> Result<Boundary> {
        self.broken += 1;
        self.leave_member()
    }

    /// Leaves a member for the next existing one.
    fn leave_member(&mut self) -> Result<Boundary> {
        let State::Member(member) = &self.state else { return Ok(Boundary::End) };
        let from = (member.start + 1).max(self.at.saturating_sub(LOOK_BACK));
        self.search(from, self.at)?;
        Ok(Boundary::Break)
    }

    /// Searches for a member that starts at `from` or later. What lies between `lost` and it is skipped.
    fn search(&mut self, from: u64, lost: u64) -> Result<()> {
        let likely = match self.codec {
            Codec::Zstd => |bytes: &[u8]| bytes.starts_with(&ZSTD_MAGIC),
            Codec::Gzip | Codec::Plain => is_likely_header,
        };
        let mut at = from;
        loop {
            let bytes = self.stored(at, HEADER_BYTES)?;
            if bytes.is_empty() {
                self.skipped += at.saturating_sub(lost);
                self.at = at;
                self.state = State::Ended;
                return Ok(());
            }
            // A header that is cut off by the window is examined again in the next one.
            let whole = (bytes.len() + 1).saturating_sub(HEADER_BYTES).max(1);
            match (0..whole).find(|n| likely(&bytes[*n..])) {
                None => at += whole as u64,
                Some(n) => {
                    at += n as u64;
                    if let Some(member) = self.open_member(at)? {
                        self.skipped += at.saturating_sub(lost);
                        self.state = member;
                        return Ok(());
                    }
                    at += 1;
                }
            }
        }
    }

    /// The member at `start`, if there is one. A damaged byte of its magic number counts as skipped.
    fn next_member(&mut self, start: u64) -> Result<Option<State>> {
        let codec = self.codec;
        let header = self.stored(start, HEADER_BYTES)?;
        let damaged = Codec::of_start(header) != codec;
        if damaged && codec_of_damaged(header) != codec {
            return Ok(None);
        }
        self.skipped += u64::from(damaged);
        self.open_member(start)
    }

    /// Begins the member whose header is at `start`; `None` if there is none.
    fn open_member(&mut self, start: u64) -> Result<Option<State>> {
        if self.codec == Codec::Zstd {
            return self.open_frame(start);
        }
        // Usually the header is in the window; a long one may continue behind it.
        let header = match header_length(self.stored(start, HEADER_BYTES)?) {
            None => header_length(self.stored(start, WINDOW_BYTES)?),
            some => some,
        };
        let Some(header) = header else { return Ok(None) };
        self.at = start + header as u64;
        let decoder = MemberDecoder::Gzip { decoder: Decompress::new(false), checksum: Crc::new() };
        Ok(Some(State::Member(Box::new(Member { start, decoder }))))
    }

    /// Begins the zstd frame at `start`; `None` if it is cut off before its descriptor.
    fn open_frame(&mut self, start: u64) -> Result<Option<State>> {
        const HAS_CHECKSUM: u8 = 4;
        let Some(&descriptor) = self.stored(start, HEADER_BYTES)?.get(ZSTD_MAGIC.len()) else {
            return Ok(None);
        };
        let checked = descriptor & HAS_CHECKSUM != 0;
        let decoder = Decoder::new().naming("decompress", &self.path)?;
        let mut decoder = MemberDecoder::Zstd { decoder, checked };
        // In place of the file's magic number, of which a byte may be damaged.
        if decoder.decode(&ZSTD_MAGIC, &mut []).ended.is_err() {
            return Ok(None);
        }
        self.at = start + ZSTD_MAGIC.len() as u64;
        Ok(Some(State::Member(Box::new(Member { start, decoder }))))
    }

    /// The stored bytes from `at` on: at least `want`, fewer only at the end of the file.
    fn stored(&mut self, at: u64, want: usize) -> Result<&[u8]> {
        let end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + want as u64 > end {
            self.window.resize(WINDOW_BYTES, 0);
            let mut length = 0;
            while length < WINDOW_BYTES {
                match self.file.read_at(&mut self.window[length..], at + length as u64) {
                    Ok(0) => break,
                    Ok(read) => length += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Ok(Err(error).naming("read", &self.path)?),
                }
            }
            self.window.truncate(length);
            self.window_at = at;
        }
        Ok(behind(&self.window, self.window_at, at))
    }
}

fn behind(window: &[u8], window_at: u64, at: u64) -> &[u8] {
    window.get((at - window_at) as usize..).unwrap_or_default()
}

/// Length of the header at the start of `bytes`; the caller has checked its magic number.
fn header_length(bytes: &[u8]) -> Option<usize> {
    const CHECK: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    const RESERVED: u8 = 0xe0;
    let (fixed, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let flags = fixed[3];
    if fixed[2] != 8 || flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*length))..)?;
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & CHECK != 0 {
        rest = rest.get(2..)?;
    }
    Some(bytes.len() - rest.len())
}

/// Whether a member of this program or of the original may start here: no flags but a file's name.
fn is_likely_header(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC) && has_usual_fields(bytes)
}

/// The codec of a member that starts here with one damaged byte in its magic number.
fn codec_of_damaged(bytes: &[u8]) -> Codec {
    let missing_one = |magic: &[u8]| {
        let same = bytes.iter().zip(magic).filter(|(found, expected)| found == expected).count();
        same + 1 == magic.len()
    };
    if missing_one(&GZIP_MAGIC) && has_usual_fields(bytes) {
        Codec::Gzip
    } else if missing_one(&ZSTD_MAGIC) {
        Codec::Zstd
    } else {
        Codec::Plain
    }
}

fn has_usual_fields(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, 8, 0 | 8, _, _, _, _, 0 | 2 | 4, 0..=13 | 255, ..])
}
