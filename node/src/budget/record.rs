//! Stored budgets and their on-disk format.
//!
//! A file starts with the eight bytes [`MAGIC`], the last of which is the version. Records follow: length of the
//! payload (u32, little endian), CRC-32 of the payload (u32, little endian), payload (postcard). The first record is
//! [`Record::Opened`]; of the others, the last one with a key counts.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::boot::Stamp;

/// Header of a file. The digit at the end is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"TWMBUDG1";

/// Upper bound of a payload, bytes: a longer length is damage.
const LONGEST_PAYLOAD: usize = 4096;
const HEADER: usize = 8;

/// Identifies a budget.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) scope: String,
    /// `None` for a budget of all addresses, and for the one that the system chooses.
    pub(super) address: Option<IpAddr>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Record {
    /// A process started writing here.
    Opened {
        /// For how long from `at` nothing may be sent, because the file before this one was damaged.
        hold_ms: u64,
        at: Stamp,
    },
    /// What is known of one budget.
    Budget { key: Key, kept: Kept },
}

/// What is known of one budget: a lower bound of what is left at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) at: Stamp,
    pub(super) knowledge: Knowledge,
    /// Requests in a whole window, as last seen.
    pub(super) limit: Option<u64>,
    /// Length of a window, as last seen; 0 if never.
    pub(super) window_ms: u64,
    /// For how long from `at` nothing may be sent.
    pub(super) blocked_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Knowledge {
    /// Up to this many requests may be in flight or may have been counted in a window that is not known.
    Unknown { unresolved: u32 },
    /// At least `left` requests may still be sent until `ends_in_ms` from the stamp. Up to `under_way` others may be
    /// sent on the basis of this record.
    Window { left: u64, under_way: u32, ends_in_ms: u64, id: Option<u64> },
    /// The source reports no limits.
    Unlimited,
}

/// Why bytes are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The file ends within the record: it was never completely written, so nothing was sent on its basis.
    Torn,
    /// The record is complete but differs from what was written.
    Damaged,
}

/// Appends a record's bytes.
pub(super) fn encode(record: &Record, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let mut out_filled = postcard::to_extend(record, std::mem::take(out))?;
    let payload = &out_filled[start + HEADER..];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(payload);
    out_filled[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out_filled[start + 4..start + HEADER].copy_from_slice(&crc.to_le_bytes());
    *out = out_filled;
    Ok(())
}

/// Decodes the record at the front of `bytes`, which are not empty, and returns its length.
pub(super) fn decode(bytes: &[u8]) -> Result<(Record, usize), Unreadable> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Err(Unreadable::Torn) };
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > LONGEST_PAYLOAD {
        return Err(Unreadable::Damaged);
    }
    let payload = rest.get(..length).ok_or(Unreadable::Torn)?;
    if crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Err(Unreadable::Damaged);
    }
    let record = postcard::from_bytes(payload).map_err(|_| Unreadable::Damaged)?;
    Ok((record, HEADER + length))
}
