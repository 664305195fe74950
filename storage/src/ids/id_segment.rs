//! A piece of a queue of account ids.

use super::UserId;
use super::varint::{self, MAX_VARINT, unzigzag, zigzag};

/// Largest encoded segment, bytes, for the same reason as blocks of runs
/// ([`MAX_BLOCK_BYTES`](super::run::MAX_BLOCK_BYTES)); it is also what is rewritten when one id is appended.
pub const MAX_SEGMENT_BYTES: usize = 4 * 1024;

/// Largest segment that is read.
const LONGEST: usize = 32 * 1024;

const VERSION: u8 = 1;
/// The version, a count and a number to start from.
const MAX_HEAD: usize = 1 + 2 * MAX_VARINT;
/// Introduces a text id: zero in two bytes, which [`varint`] never writes for a number.
const TEXT: [u8; 2] = [0x80, 0x00];

/// Bytes that are no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a segment of the queue is damaged at byte {at}: {why}; rebuild this node's state from the cluster")]
pub struct CorruptSegment {
    /// Offset in the encoded segment.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// A first-in, first-out queue of ids of at most [`MAX_SEGMENT_BYTES`] encoded, about nine bytes for a
/// random id of 61 bits. It lies in memory as it does on disk:
///
/// ```text
/// segment  version (1 byte, 1)  count (varint)  base (varint)  count entries
/// entry    a number: its difference from the number before (at first: from base), zigzag varint
///          a text:   the bytes 80 00, its length (varint), its bytes in UTF-8
/// ```
///
/// What was taken from the front is given back only when the segment becomes empty: a queue drops its
/// front segments whole.
#[derive(Debug, Clone, Default)]
pub struct IdSegment {
    entries: Vec<u8>,
    /// Start of the remaining entries.
    front: usize,
    count: usize,
    /// The number before the first remaining entry.
    base: u64,
    /// The last number.
    last: u64,
}

impl IdSegment {
    /// An empty segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `id`; returns `false` and changes nothing if it does not fit.
    pub fn push_back(&mut self, id: &UserId) -> bool {
        let before = self.entries.len();
        match id {
            UserId::Number(number) => {
                let difference = number.wrapping_sub(self.last) as i64;
                varint::put(&mut self.entries, zigzag(difference));
            }
            UserId::Text(text) => {
                self.entries.extend_from_slice(&TEXT);
                varint::put(&mut self.entries, text.len() as u64);
                self.entries.extend_from_slice(text.as_bytes());
            }
        }
        if MAX_HEAD + self.entries.len() > MAX_SEGMENT_BYTES {
            self.entries.truncate(before);
            return false;
        }
        if let UserId::Number(number) = id {
            self.last = *number;
        }
        self.count += 1;
        true
    }

    /// Removes the oldest id.
    pub fn pop_front(&mut self) -> Option<UserId> {
        let mut entries = Entries { bytes: &self.entries, at: self.front, last: self.base, left: self.count };
        let id = entries.next()?.ok()?;
        (self.front, self.base, self.count) = (entries.at, entries.last, entries.left);
        if self.count == 0 {
            *self = Self::new();
        }
        Some(id)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no id is left.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The ids, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = UserId> + '_ {
        // All entries were written by `push_back` or checked by `decode`, so none is an error.
        let (bytes, at) = (&self.entries, self.front);
        Entries { bytes, at, last: self.base, left: self.count }.map_while(Result::ok)
    }

    /// Memory of the segment, without the allocator's overhead, bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.entries.capacity()
    }

    /// The remaining ids, for [`decode`](Self::decode).
    pub fn encode(&self) -> Vec<u8> {
        let entries = &self.entries[self.front..];
        let mut bytes = Vec::with_capacity(MAX_HEAD + entries.len());
        bytes.push(VERSION);
        varint::put(&mut bytes, self.count as u64);
        varint::put(&mut bytes, self.base);
        bytes.extend_from_slice(entries);
        bytes
    }

    /// Decodes a segment.
    ///
    /// # Errors
    /// [`CorruptSegment`] for any bytes that [`encode`](Self::encode) would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, CorruptSegment> {
        let corrupt = |at, why| CorruptSegment { at, why };
        if bytes.len() > LONGEST {
            return Err(corrupt(LONGEST, "more bytes than a segment has"));
        }
        match bytes.first() {
            Some(&VERSION) => {}
            Some(_) => return Err(corrupt(0, "a version that this program does not know")),
            None => return Err(corrupt(0, "the segment is empty")),
        }
        let mut at = 1;
        let count = varint::get(bytes, &mut at).ok_or(corrupt(at, "no count"))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let base = varint::get(bytes, &mut at).ok_or(corrupt(at, "no base"))?;

        let mut entries = Entries { bytes, at, last: base, left: count };
        for entry in entries.by_ref() {
            entry?;
        }
        if entries.at != bytes.len() {
            return Err(corrupt(entries.at, "bytes behind the last id"));
        }
        let last = entries.last;
        Ok(Self { entries: bytes[at..].to_vec(), front: 0, count, base, last })
    }
}

impl PartialEq for IdSegment {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for IdSegment {}

/// Reads entries; ends after the first invalid one.
struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The number before `at`.
    last: u64,
    left: usize,
}

impl Entries<'_> {
    fn read(&mut self) -> Result<UserId, &'static str> {
        if !self.bytes[self.at..].starts_with(&TEXT) {
            let difference = varint::get(self.bytes, &mut self.at).ok_or("no number")?;
            self.last = self.last.wrapping_add(unzigzag(difference) as u64);
            return Ok(UserId::Number(self.last));
        }
        self.at += TEXT.len();
        let length = varint::get(self.bytes, &mut self.at).ok_or("no length of a text id")?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let rest = &self.bytes[self.at..];
        let text = rest.get(..length).ok_or("a text id that is cut off")?;
        let text = std::str::from_utf8(text).map_err(|_| "a text id that is not UTF-8")?;
        self.at += length;
        match text.parse() {
            Ok(UserId::Text(text)) => Ok(UserId::Text(text)),
            _ => Err("a text that is no text id"),
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<UserId, CorruptSegment>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        Some(read.map_err(|why| {
            self.left = 0;
            CorruptSegment { at: self.at, why }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::env::{Entropy, SeededEntropy};

    fn id(entropy: &SeededEntropy) -> UserId {
        let random = entropy.next_u64();
        match random % 8 {
            0 => format!("did:plc:{random:x}").parse().unwrap(),
            1 => format!("{}@mastodon.example", random % 1_000).parse().unwrap(),
            2 => UserId::Number(random),
            3 => UserId::Number(random % 3),
            _ => UserId::Number(random >> 3),
        }
    }

    #[test]
    fn behaves_as_a_queue_through_any_number_of_restarts() {
        let entropy = SeededEntropy::new(11);
        for _ in 0..30 {
            let mut model = VecDeque::new();
            let mut segment = IdSegment::new();
            for _ in 0..3_000 {
                match entropy.next_u64() % 100 {
                    0..60 => {
                        let id = id(&entropy);
                        if segment.push_back(&id) {
                            model.push_back(id);
                        }
                    }
                    60..97 => assert_eq!(segment.pop_front(), model.pop_front()),
                    _ => segment = IdSegment::decode(&segment.encode()).unwrap(),
                }
                assert_eq!((segment.len(), segment.is_empty()), (model.len(), model.is_empty()));
            }
            assert!(segment.iter().eq(model.iter().cloned()));
        }
    }

    #[test]
    fn a_full_segment_says_so_and_takes_nine_bytes_an_id() {
        let entropy = SeededEntropy::new(12);
        let mut segment = IdSegment::new();
        let mut pushed = 0;
        while segment.push_back(&UserId::Number(entropy.next_u64() >> 3)) {
            pushed += 1;
        }
        assert_eq!(segment.len(), pushed);
        assert!(pushed > MAX_SEGMENT_BYTES / 10, "{pushed}");
        let encoded = segment.encode();
        assert!(encoded.len() <= MAX_SEGMENT_BYTES);
        assert_eq!(IdSegment::decode(&encoded).unwrap(), segment);
        while segment.pop_front().is_some() {}
        assert_eq!(segment.memory_bytes(), size_of::<IdSegment>());
        assert!(segment.push_back(&UserId::Number(1)), "an emptied segment has room again");
    }

    #[test]
    fn the_format_of_version_1_stays_readable() {
        let golden = [1, 3, 0, 0x90, 0x03, 0x80, 0x00, 3, b'a', b'@', b'b', 1];
        let mut segment = IdSegment::new();
        for text in ["200", "a@b", "199"] {
            assert!(segment.push_back(&text.parse().unwrap()));
        }
        assert_eq!(segment.encode(), golden);
        assert_eq!(IdSegment::decode(&golden).unwrap(), segment);
    }

    #[test]
    fn damage_is_named_and_never_panics() {
        let entropy = SeededEntropy::new(13);
        let mut segment = IdSegment::new();
        for _ in 0..200 {
            assert!(segment.push_back(&id(&entropy)));
        }
        let encoded = segment.encode();
        for cut in 0..encoded.len() {
            assert!(IdSegment::decode(&encoded[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = IdSegment::decode(&flipped) {
                assert_eq!(decoded.iter().count(), decoded.len(), "bit {bit}");
            }
        }
        let longer = [encoded.as_slice(), &[0]].concat();
        assert_eq!(IdSegment::decode(&longer).unwrap_err().why, "bytes behind the last id");
        assert!(IdSegment::decode(&[1, 1, 0, 0x80, 0x00, 2, b'1', b'2']).is_err(), "a number as text");
        assert!(IdSegment::decode(&vec![1; LONGEST + 1]).is_err());
    }
}
