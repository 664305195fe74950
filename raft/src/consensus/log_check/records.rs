//! The records of one log file as bytes: where they end, and whether intact ones follow damage.
//!
//! A record consists of its kind (4 bytes), its fields and the CRC-32 of both (8 bytes), all big-endian. A field has
//! a length of 4 bytes and that many bytes; an optional field is preceded by a byte that is 0 (absent) or 1. There
//! are no separators.

use std::ops::Range;

use codeq::Decode;
use raft_log::{RaftLogAction, RaftLogRecord, WALRecord};

use crate::consensus::log_codec::{LogTypes, MAX_PAYLOAD};

/// The kind of a checkpoint: the state of the log, including the owner. Each file starts with one.
const CHECKPOINT: u32 = 5;

/// Bytes of a checksum.
const CHECKSUM: usize = 8;

/// The lengths of a record lie within its first bytes: kind, log id, tag and length of the payload.
const HEAD: usize = 128;

/// What one file of the log holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Records {
    /// Start of the first unreadable record, or the end of the file.
    pub(super) end: usize,
    /// The newest checkpoint before `end`.
    pub(super) checkpoint: Option<Range<usize>>,
    /// Evidence that the file is damaged at `end`, rather than torn there by an interrupted write: `end` itself if
    /// flipping one bit makes the record intact, or a later record that was written after the missing ones were
    /// synced.
    pub(super) stranded: Option<usize>,
}

impl Records {
    /// Reads a file in time linear in its length, whatever its contents.
    pub(super) fn of(file: &[u8]) -> Self {
        let mut records = Self { end: 0, checkpoint: None, stranded: None };
        while let Some(length) = intact(&file[records.end..]) {
            let end = records.end + length;
            if kind(&file[records.end..]) == Some(CHECKPOINT) {
                records.checkpoint = Some(records.end..end);
            }
            records.end = end;
        }
        let flipped = is_one_bit_from_intact(&file[records.end..]).then_some(records.end);
        records.stranded = flipped.or_else(|| proof_of_sync(file, records.end));
        records
    }
}

/// How many places behind the damage are searched for intact records; a file with more of them was not torn.
const MOST_GAPS: usize = 16;

/// A record behind `end` which proves that an entry was on disk that is not before `end`. Without such a record,
/// everything that is missing may have been written since the last sync, of which a power cut preserves any subset of
/// pages.
fn proof_of_sync(file: &[u8], end: usize) -> Option<usize> {
    let mut last = LastEntry::default();
    let mut at = 0;
    let mut gaps = 0;
    while at < file.len() {
        let Some(length) = intact(&file[at..]) else {
            at += first_intact(&file[at..])?;
            gaps += 1;
            if gaps > MOST_GAPS {
                return Some(at);
            }
            continue;
        };
        let record = RaftLogRecord::<LogTypes>::decode(&file[at..at + length]).ok();
        match record {
            Some(record) if at < end => last.follow(record),
            Some(record) if last.is_before(&record) => return Some(at),
            _ => {}
        }
        at += length;
    }
    None
}

/// Index of the last entry, tracked record by record.
#[derive(Default)]
struct LastEntry(Option<u64>);

impl LastEntry {
    fn follow(&mut self, record: RaftLogRecord<LogTypes>) {
        self.0 = match record {
            WALRecord::Checkpoint(state) => state.last().map(|id| id.0.index),
            WALRecord::Action(RaftLogAction::Append(id, _)) => Some(id.0.index),
            WALRecord::Action(RaftLogAction::TruncateAfter(id)) => id.map(|id| id.0.index),
            WALRecord::Action(RaftLogAction::PurgeUpto(id)) => self.0.max(Some(id.0.index)),
            WALRecord::Action(RaftLogAction::SaveVote(_) | RaftLogAction::Commit(_)) => self.0,
        };
    }

    /// Whether a record proves that a later entry is on this disk: the log records nothing as committed before it has
    /// synced it.
    fn is_before(&self, record: &RaftLogRecord<LogTypes>) -> bool {
        let on_disk = match record {
            WALRecord::Checkpoint(state) => state.committed().max(state.purged()),
            WALRecord::Action(RaftLogAction::Commit(id) | RaftLogAction::PurgeUpto(id)) => Some(id),
            WALRecord::Action(_) => None,
        };
        on_disk.map(|id| id.0.index) > self.0
    }
}

/// Length of the record at the start of `bytes`, if it is complete and its checksum is correct.
fn intact(bytes: &[u8]) -> Option<usize> {
    let length = length(bytes)?;
    let content = length - CHECKSUM;
    (checksum(&bytes[content..])? == u64::from(crc32fast::hash(&bytes[..content]))).then_some(length)
}

/// Whether flipping one bit would make the record at the start of these bytes intact. This is never so for a
/// torn record.
fn is_one_bit_from_intact(bytes: &[u8]) -> bool {
    if let Some(length) = length(bytes) {
        let content = length - CHECKSUM;
        let expected = checksum(&bytes[content..]).unwrap_or_default();
        let difference = expected ^ u64::from(crc32fast::hash(&bytes[..content]));
        if difference.is_power_of_two() {
            return true;
        }
        if u32::try_from(difference).is_ok_and(|difference| is_of_one_bit(difference, 8 * content)) {
            return true;
        }
    }
    // One of its lengths may be wrong.
    let head = HEAD.min(bytes.len());
    let mut repaired = bytes.to_vec();
    (0..8 * head).any(|bit| {
        repaired[bit / 8] ^= 1 << (bit % 8);
        let whole = intact(&repaired).is_some();
        repaired[bit / 8] ^= 1 << (bit % 8);
        whole
    })
}

/// Whether two texts of this many bits whose CRC-32 values differ by `difference` can differ in one bit only.
fn is_of_one_bit(difference: u32, bits: usize) -> bool {
    // The effect of the last bit on the checksum, then that of the bit before it, and so on.
    let mut change = 1_u32;
    (0..bits).any(|_| {
        let carry = if change & 1 == 1 { 0xEDB8_8320 } else { 0 };
        change = change >> 1 ^ carry;
        change == difference
    })
}

/// The first intact record at any offset.
fn first_intact(bytes: &[u8]) -> Option<usize> {
    let mut sums = None;
    for start in 0..bytes.len().saturating_sub(CHECKSUM) {
        // The first three bytes rule out most offsets.
        if bytes[start..start + 3] != [0; 3] {
            continue;
        }
        let Some(length) = length(&bytes[start..]) else { continue };
        let content = start..start + length - CHECKSUM;
        let Some(expected) = checksum(&bytes[content.end..]) else { continue };
        // The bytes may have been crafted to look like many long records, so no candidate is read from end to
        // end.
        let sums = sums.get_or_insert_with(|| Checksums::of(bytes));
        if expected == u64::from(sums.of_range(content)) {
            return Some(start);
        }
    }
    None
}

fn kind(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.first_chunk()?))
}

fn checksum(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.first_chunk()?))
}

/// The length that the record at the start of `bytes` claims, including the checksum; `None` if it is not a record or
/// does not fit.
fn length(bytes: &[u8]) -> Option<usize> {
    let mut fields = Fields { bytes, at: 4 };
    match kind(bytes)? {
        // Votes, commits and purges.
        0 | 2 | 4 => fields.skip()?,
        // An entry: its log id and its payload, which is preceded by a byte for its type.
        1 => {
            fields.skip()?;
            fields.flag()?;
            fields.skip()?;
        }
        // A truncation.
        3 => fields.skip_optional()?,
        CHECKPOINT => {
            // A version, followed by vote, last, committed and purged log id, and owner.
            (fields.byte()? == 1).then_some(())?;
            for _ in 0..5 {
                fields.skip_optional()?;
            }
        }
        _ => return None,
    }
    let length = fields.at + CHECKSUM;
    (length <= bytes.len()).then_some(length)
}

struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn skip(&mut self) -> Option<()> {
        let length = u32::from_be_bytes(*self.bytes.get(self.at..)?.first_chunk()?);
        let end = self.at + 4 + usize::try_from(length).ok()?;
        if length > MAX_PAYLOAD || end > self.bytes.len() {
            return None;
        }
        self.at = end;
        Some(())
    }

    fn skip_optional(&mut self) -> Option<()> {
        if self.flag()? { self.skip() } else { Some(()) }
    }
}

/// Checksums of any range of some bytes, without reading that range again.
struct Checksums<'a> {
    bytes: &'a [u8],
    /// Checksums of the prefixes whose lengths are multiples of [`Self::STEP`].
    before: Vec<u32>,
}

impl<'a> Checksums<'a> {
    const STEP: usize = 256;

    fn of(bytes: &'a [u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        let mut before = vec![0];
        for part in bytes.chunks(Self::STEP) {
            hasher.update(part);
            before.push(hasher.clone().finalize());
        }
        Self { bytes, before }
    }

    fn of_range(&self, range: Range<usize>) -> u32 {
        // crc(AB) is crc(A), shifted by the length of B, XOR crc(B).
        let length = range.len() as u64;
        let mut moved = crc32fast::Hasher::new_with_initial(self.upto(range.start));
        moved.combine(&crc32fast::Hasher::new_with_initial_len(0, length));
        moved.finalize() ^ self.upto(range.end)
    }

    fn upto(&self, end: usize) -> u32 {
        let step = end / Self::STEP;
        let mut hasher = crc32fast::Hasher::new_with_initial(self.before[step]);
        hasher.update(&self.bytes[step * Self::STEP..end]);
        hasher.finalize()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use codeq::Encode;
    use openraft::testing::log_id;
    use raft_log::{RaftLogAction, RaftLogRecord};

    use super::*;
    use crate::consensus::log_codec::{LogTypes, StoredLogId, StoredPayload, StoredVote};
    use crate::consensus::types::{PackedCommand, Payload, TypeConfig, Vote};
    use crate::model::MemberId;

    fn encoded(action: RaftLogAction<LogTypes>) -> Vec<u8> {
        let mut bytes = Vec::new();
        RaftLogRecord::Action(action).encode(&mut bytes).unwrap();
        bytes
    }

    fn id() -> StoredLogId {
        StoredLogId(log_id::<TypeConfig>(7, MemberId::from(1), 300))
    }

    fn entry(bytes: Vec<u8>) -> Vec<u8> {
        let payload = StoredPayload(Payload::Normal(PackedCommand(Bytes::from(bytes))));
        encoded(RaftLogAction::Append(id(), payload))
    }

    #[test]
    fn the_length_of_every_kind_of_record_is_known() {
        let records = [
            encoded(RaftLogAction::SaveVote(StoredVote(Vote::new(7, MemberId::from(1))))),
            encoded(RaftLogAction::Append(id(), StoredPayload(Payload::Blank))),
            entry(vec![9; 1000]),
            encoded(RaftLogAction::Commit(id())),
            encoded(RaftLogAction::TruncateAfter(None)),
            encoded(RaftLogAction::TruncateAfter(Some(id()))),
            encoded(RaftLogAction::PurgeUpto(id())),
        ];
        for record in &records {
            assert_eq!(intact(record), Some(record.len()), "{record:?}");
            for cut in 0..record.len() {
                assert_eq!(intact(&record[..cut]), None, "{cut} bytes of {record:?}");
            }
        }
        let all = records.concat();
        assert_eq!(Records::of(&all), Records { end: all.len(), checkpoint: None, stranded: None });
    }

    /// What a torn write leaves are whole pages: few of them lie between intact records.
    #[test]
    fn a_file_is_torn_with_up_to_as_many_gaps_as_a_torn_write_leaves_and_damaged_with_more() {
        let vote = encoded(RaftLogAction::SaveVote(StoredVote(Vote::new(7, MemberId::from(1)))));
        let with_gaps = |gaps: usize| [&vote[..], &[&[0xff; 5], &vote[..]].concat().repeat(gaps)].concat();
        let torn = Records::of(&with_gaps(MOST_GAPS));
        assert_eq!(torn, Records { end: vote.len(), checkpoint: None, stranded: None });
        assert!(Records::of(&with_gaps(MOST_GAPS + 1)).stranded.is_some());
    }

    #[test]
    fn the_checksum_of_a_part_is_that_of_its_bytes() {
        let bytes: Vec<u8> = (0..2000_u32).map(|n| (n * n % 251) as u8).collect();
        let sums = Checksums::of(&bytes);
        for (start, end) in
            [(0, 0), (0, 2000), (1, 256), (255, 257), (256, 512), (300, 301), (1999, 2000), (513, 1999)]
        {
            assert_eq!(sums.of_range(start..end), crc32fast::hash(&bytes[start..end]), "{start}..{end}");
        }
    }

    #[test]
    fn a_record_of_which_one_bit_of_a_length_is_flipped_is_told_from_a_torn_one() {
        for record in [
            entry(vec![9; 1000]),
            encoded(RaftLogAction::SaveVote(StoredVote(Vote::new(7, MemberId::from(1))))),
        ] {
            for bit in 0..8 * record.len().min(HEAD) {
                let mut damaged = record.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                if length(&damaged).is_none() {
                    assert_eq!(Records::of(&damaged).stranded, Some(0), "bit {bit}");
                }
            }
            for cut in 0..record.len() {
                assert_eq!(Records::of(&record[..cut]).stranded, None, "torn at {cut}");
            }
        }
    }

    #[test]
    fn bytes_that_look_like_many_long_records_are_searched_in_time_that_grows_with_their_number() {
        // Each of these 21-byte groups claims an entry that reaches over most of what follows.
        let mut hostile = Vec::new();
        let groups = 8 << 10;
        for group in 0..groups {
            let rest = (groups - group - 1) * 21;
            hostile.extend([0, 0, 0, 1, 0, 0, 0, 1, 7, 1]);
            hostile.extend(u32::try_from(rest).unwrap().to_be_bytes());
            hostile.extend([0; 7]);
        }
        hostile.extend([0; 8]);
        assert_eq!(length(&hostile).map(|length| length > hostile.len() / 2), Some(true));
        assert_eq!(first_intact(&hostile), None);
        let start = hostile.len();
        hostile.extend(entry(vec![3; 10]));
        assert_eq!(first_intact(&hostile), Some(start));
    }

    #[test]
    fn zeros_are_no_records() {
        assert_eq!(Records::of(&[0; 4096]), Records { end: 0, checkpoint: None, stranded: None });
    }
}
