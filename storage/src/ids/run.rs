//! Sorted runs of ids on disk: what a checkpoint appends to the seen-set.
//!
//! A run is any number of blocks, each a value of the state store:
//!
//! ```text
//! block   version (1 byte, 1)  count (varint)  first id (varint)  count - 1 gaps (varint)
//! varint  seven bits a byte, lowest first, top bit: more follow; always the shortest form
//! ```
//!
//! A gap is the distance to the id before, at least 1. About seven bytes an id for 150,000 random
//! ids of 61 bits, six for ten million.

use super::varint::{self, MAX_VARINT};

/// Largest block that is written, bytes. sled keeps at least 256 pages of up to 20 values each in memory, whatever
/// the size of its cache: with blocks of 32 KiB everything stayed there, 75 MB for five million ids.
pub const MAX_BLOCK_BYTES: usize = 4 * 1024;

const VERSION: u8 = 1;
/// The version, a count below 2^21 and a first id.
const MAX_HEAD: usize = 1 + 3 + MAX_VARINT;

/// A block that this code did not write, or that was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a run of ids is damaged at byte {at} of a block: {why}; rebuild this node's state from the cluster")]
pub struct CorruptRun {
    /// Offset in the block.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

/// Encodes strictly ascending ids as blocks of at most [`MAX_BLOCK_BYTES`]; no block for no ids.
pub fn encode_blocks(sorted: &[u64]) -> Vec<Vec<u8>> {
    debug_assert!(sorted.is_sorted_by(|a, b| a < b), "a run is strictly ascending");
    let mut blocks = Vec::new();
    let mut gaps = Vec::new();
    let mut rest = sorted;
    while let [first, others @ ..] = rest {
        gaps.clear();
        let mut last = *first;
        let mut count = 1;
        for id in others {
            if MAX_HEAD + gaps.len() + MAX_VARINT > MAX_BLOCK_BYTES {
                break;
            }
            varint::put(&mut gaps, id.wrapping_sub(last));
            last = *id;
            count += 1;
        }
        let mut block = Vec::with_capacity(MAX_HEAD + gaps.len());
        block.push(VERSION);
        varint::put(&mut block, count as u64);
        varint::put(&mut block, *first);
        block.extend_from_slice(&gaps);
        blocks.push(block);
        rest = &rest[count..];
    }
    blocks
}

/// Decodes one block; the ids are strictly ascending.
///
/// # Errors
/// [`CorruptRun`] for any bytes that [`encode_blocks`] would not have written.
pub fn decode_block(block: &[u8]) -> Result<Vec<u64>, CorruptRun> {
    let corrupt = |at, why| CorruptRun { at, why };
    match block.first() {
        Some(&VERSION) => {}
        Some(_) => return Err(corrupt(0, "a version that this program does not know")),
        None => return Err(corrupt(0, "the block is empty")),
    }
    let mut at = 1;
    let count = varint::get(block, &mut at).ok_or(corrupt(at, "no count"))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    // Every id takes at least a byte: a larger count is damage and must not reserve memory.
    if count == 0 || count > block.len() - at {
        return Err(corrupt(at, "a count that the block cannot hold"));
    }
    let mut last = varint::get(block, &mut at).ok_or(corrupt(at, "no first id"))?;
    let mut ids = Vec::with_capacity(count);
    ids.push(last);
    while ids.len() < count {
        let gap = varint::get(block, &mut at).ok_or(corrupt(at, "no gap"))?;
        if gap == 0 {
            return Err(corrupt(at, "an id twice"));
        }
        last = last.checked_add(gap).ok_or(corrupt(at, "an id above 64 bits"))?;
        ids.push(last);
    }
    if at != block.len() {
        return Err(corrupt(at, "bytes behind the last id"));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::env::{Entropy, SeededEntropy};

    fn decode_all(blocks: &[Vec<u8>]) -> Vec<u64> {
        blocks.iter().flat_map(|block| decode_block(block).unwrap()).collect()
    }

    #[test]
    fn runs_come_back_in_bounded_blocks() {
        let entropy = SeededEntropy::new(3);
        for (size, shift) in [(0, 0), (1, 0), (2, 63), (100, 50), (70_000, 3), (150_000, 0)] {
            let ids: BTreeSet<u64> = (0..size).map(|_| entropy.next_u64() >> shift).collect();
            let ids: Vec<u64> = ids.into_iter().collect();
            let blocks = encode_blocks(&ids);
            assert!(blocks.iter().all(|block| block.len() <= MAX_BLOCK_BYTES));
            assert_eq!(decode_all(&blocks), ids);
        }
        let ends = [0, 1, u64::MAX - 1, u64::MAX];
        assert_eq!(decode_all(&encode_blocks(&ends)), ends);
    }

    #[test]
    fn the_format_of_version_1_stays_readable() {
        let golden = [1, 3, 0xac, 0x02, 1, 0x80, 0x01];
        assert_eq!(decode_block(&golden).unwrap(), [300, 301, 429]);
        assert_eq!(encode_blocks(&[300, 301, 429]), [golden]);
    }

    #[test]
    fn damage_is_named_and_never_panics() {
        let entropy = SeededEntropy::new(4);
        let ids: BTreeSet<u64> = (0..200).map(|_| entropy.next_u64()).collect();
        let ids: Vec<u64> = ids.into_iter().collect();
        let block = encode_blocks(&ids).remove(0);
        for cut in 0..block.len() {
            assert!(decode_block(&block[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..block.len() * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(decoded) = decode_block(&flipped) {
                assert!(decoded.is_sorted_by(|a, b| a < b), "bit {bit}");
            }
        }
        let longer = [block.as_slice(), &[1]].concat();
        assert_eq!(decode_block(&longer).unwrap_err().why, "bytes behind the last id");
        let huge_count = [1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1];
        assert!(decode_block(&huge_count).is_err());
        assert_eq!(decode_block(&[2, 1, 1]).unwrap_err().at, 0);
        assert_eq!(decode_block(&[1, 2, 5, 0]).unwrap_err().why, "an id twice");
    }
}
