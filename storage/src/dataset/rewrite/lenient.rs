//! Reads a file that may be damaged: yields the intact items and counts the others.

use std::fs::File;
use std::path::Path;

use super::loss::Loss;
use super::salvage::{Boundary, SalvageReader};
use crate::dataset::followers_reader::{FIRST_TEXT_BYTE, PACKED_BYTES};
use crate::dataset::{Codec, ItemId, MAX_LINE_BYTES, Result};
use crate::durable::Naming;
use crate::ids::PostId;
use crate::ids::UserId;

/// Bytes at the start of a list that show whether it is packed.
const SAMPLE_BYTES: usize = 4096;

/// The decoded bytes of a file, split into items.
struct Pieces {
    salvage: SalvageReader,
    bytes: Vec<u8>,
    /// Bytes handed out.
    taken: usize,
    /// What follows `bytes`.
    then: Boundary,
    /// Items since the last correct checksum.
    unchecked: u64,
    /// Within a line that is longer than allowed.
    oversize: bool,
    loss: Loss,
}

/// The next part of a text file.
enum Line {
    /// A line with its end, as a range of `bytes`.
    Whole(std::ops::Range<usize>),
    /// The last one, which has no end.
    Last(std::ops::Range<usize>),
}

impl Pieces {
    fn new(path: &Path, file: File) -> Result<Self> {
        let salvage = SalvageReader::new(path, file)?;
        let (bytes, then, loss) = (Vec::new(), Boundary::More, Loss::default());
        Ok(Self { salvage, bytes, taken: 0, then, unchecked: 0, oversize: false, loss })
    }

    /// Reads more. A partial item before a gap is lost.
    fn more(&mut self) -> Result<()> {
        if self.then == Boundary::Break {
            self.drop_rest();
        }
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.then = self.salvage.next(&mut self.bytes)?;
        Ok(())
    }

    /// Processes the boundary after the bytes, once all items in them were yielded.
    fn pass_boundary(&mut self) {
        match self.then {
            Boundary::More => {}
            Boundary::Checked => self.unchecked = 0,
            Boundary::Break | Boundary::End => {
                if self.salvage.codec().is_compressed() {
                    self.loss.unverified += self.unchecked;
                }
                self.unchecked = 0;
            }
        }
    }

    fn rest(&self) -> usize {
        self.bytes.len() - self.taken
    }

    fn drop_rest(&mut self) {
        if self.rest() > 0 {
            self.loss.bad_items += u64::from(!self.oversize);
            self.loss.bad_bytes += self.rest() as u64;
        }
        self.taken = self.bytes.len();
        self.oversize = false;
    }

    fn bad(&mut self, bytes: usize) {
        self.loss.bad_items += 1;
        self.loss.bad_bytes += bytes as u64;
    }

    fn next_line(&mut self) -> Result<Option<Line>> {
        let mut searched = self.taken;
        loop {
            if let Some(n) = self.bytes[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.taken..searched + n;
                self.taken = line.end + 1;
                if !std::mem::take(&mut self.oversize) {
                    return Ok(Some(Line::Whole(line)));
                }
                self.loss.bad_bytes += line.len() as u64;
                searched = self.taken;
                continue;
            }
            self.pass_boundary();
            if self.then == Boundary::End {
                if self.oversize {
                    self.drop_rest();
                }
                let line = self.taken..self.bytes.len();
                self.taken = line.end;
                return Ok((!line.is_empty()).then_some(Line::Last(line)));
            }
            if self.rest() > MAX_LINE_BYTES {
                self.loss.bad_items += u64::from(!self.oversize);
                self.loss.bad_bytes += self.rest() as u64;
                self.taken = self.bytes.len();
                self.oversize = true;
            }
            let rest = if self.then == Boundary::Break { 0 } else { self.rest() };
            self.more()?;
            searched = self.taken + rest;
        }
    }

    fn next_packed(&mut self) -> Result<Option<[u8; PACKED_BYTES]>> {
        loop {
            if let Some(id) = self.bytes[self.taken..].first_chunk() {
                self.taken += PACKED_BYTES;
                return Ok(Some(*id));
            }
            self.pass_boundary();
            if self.then == Boundary::End {
                self.drop_rest();
                return Ok(None);
            }
            self.more()?;
        }
    }

    fn loss(&self) -> Loss {
        let SalvageReader { skipped: skipped_bytes, broken: broken_members, truncated, .. } = self.salvage;
        Loss { skipped_bytes, broken_members, truncated, ..self.loss }
    }
}

/// The tweets of a timeline that may be damaged.
pub(super) struct LenientTimeline {
    pieces: Pieces,
    item_id: ItemId,
    /// Whether the ids of this timeline are numbers, known from the first one.
    numbered: Option<bool>,
}

impl LenientTimeline {
    pub(super) fn new(path: &Path, file: File, item_id: ItemId) -> Result<Self> {
        Ok(Self { pieces: Pieces::new(path, file)?, item_id, numbered: None })
    }

    pub(super) fn codec(&self) -> Codec {
        self.pieces.salvage.codec()
    }

    /// Reads the next intact tweet into `line`.
    pub(super) fn next_tweet(&mut self, line: &mut Vec<u8>) -> Result<Option<PostId>> {
        while let Some(Line::Whole(range) | Line::Last(range)) = self.pieces.next_line()? {
            // White space as a reader defines it.
            let text = std::str::from_utf8(&self.pieces.bytes[range.clone()]).map(str::trim_end);
            if text == Ok("") {
                continue;
            }
            // A damaged number is a text.
            let fits = |id: &PostId| self.numbered.is_none_or(|numbered| numbered == is_number(id));
            // With its line end, a longer one would be too long for every reader of the new file.
            let text = text.ok().filter(|text| text.len() < MAX_LINE_BYTES);
            let found = text.and_then(|text| Some((text, (self.item_id)(text).filter(fits)?)));
            if let Some((text, id)) = found {
                self.numbered = Some(is_number(&id));
                line.clear();
                line.extend_from_slice(text.as_bytes());
                self.pieces.unchecked += 1;
                return Ok(Some(id));
            }
            self.pieces.bad(range.len());
        }
        Ok(None)
    }

    pub(super) fn loss(&self) -> Loss {
        self.pieces.loss()
    }
}

fn is_number(id: &PostId) -> bool {
    matches!(id, PostId::Number(_))
}

/// The ids of a follower list that may be damaged.
pub(super) struct LenientFollowers {
    pieces: Pieces,
    packed: bool,
    /// Whether the first id was read.
    begun: bool,
}

impl LenientFollowers {
    pub(super) fn new(path: &Path, file: File) -> Result<Self> {
        // Read separately, across the ends of members: a list may start with short ones.
        let again = file.try_clone().naming("open", path)?;
        let mut sample = Pieces::new(path, again)?;
        while sample.rest() < SAMPLE_BYTES && matches!(sample.then, Boundary::More | Boundary::Checked) {
            sample.more()?;
        }
        let packed = looks_packed(&sample.bytes[..sample.bytes.len().min(SAMPLE_BYTES)]);
        let pieces = Pieces::new(path, file)?;
        Ok(Self { pieces, packed, begun: false })
    }

    pub(super) fn codec(&self) -> Codec {
        self.pieces.salvage.codec()
    }

    pub(super) fn packed(&self) -> bool {
        self.packed
    }

    /// The next intact id.
    pub(super) fn next_id(&mut self) -> Result<Option<UserId>> {
        let id = if self.packed { self.next_number()? } else { self.next_text()? };
        self.pieces.unchecked += u64::from(id.is_some());
        Ok(id)
    }

    fn next_number(&mut self) -> Result<Option<UserId>> {
        while let Some(id) = self.pieces.next_packed()? {
            // A reader would take a list that starts like this for text: its first byte is damaged.
            let garbled = !std::mem::replace(&mut self.begun, true) && id[0] >= FIRST_TEXT_BYTE;
            match u64::from_be_bytes(id) {
                _ if garbled => self.pieces.bad(PACKED_BYTES),
                0 => self.pieces.bad(PACKED_BYTES),
                number => return Ok(Some(UserId::Number(number))),
            }
        }
        Ok(None)
    }

    fn next_text(&mut self) -> Result<Option<UserId>> {
        while let Some(line) = self.pieces.next_line()? {
            let (range, whole) = match line {
                Line::Whole(range) => (range, true),
                // A prefix of an id is another account's id.
                Line::Last(range) => (range, false),
            };
            let text = std::str::from_utf8(&self.pieces.bytes[range.clone()]).map(str::trim);
            if text == Ok("") {
                continue;
            }
            match text.ok().and_then(likely_id) {
                Some(id) if whole => return Ok(Some(id)),
                _ => self.pieces.bad(range.len()),
            }
        }
        Ok(None)
    }

    pub(super) fn loss(&self) -> Loss {
        self.pieces.loss()
    }
}

/// An id that is not the result of a damaged number: `12y4` is one too, but text ids of networks contain `:`
/// or `@`.
fn likely_id(text: &str) -> Option<UserId> {
    match text.parse().ok()? {
        UserId::Text(text) if !text.contains([':', '@']) => None,
        id => Some(id),
    }
}

/// Whether a list that starts with `sample` is packed, even if its first byte is damaged.
fn looks_packed(sample: &[u8]) -> bool {
    let printable = sample.iter().filter(|byte| matches!(byte, b'\n' | b'\r' | b' '..=b'~')).count();
    match sample.first() {
        Some(first) if sample.len() < 4 * PACKED_BYTES => *first < FIRST_TEXT_BYTE,
        Some(_) => printable * 10 < sample.len() * 9,
        None => false,
    }
}
