//! The blocks of a snapshot.

use std::io::{self, Read, Write};

pub(super) const MAGIC: [u8; 8] = *b"twm-snap";
pub(super) const FORMAT: u16 = 1;

/// A block is written once its entries reach this size.
pub(super) const FULL_BYTES: usize = 256 * 1024;
/// Largest payload: a full block's last entry may exceed [`FULL_BYTES`].
pub(super) const MAX_PAYLOAD: usize = 1024 * 1024;

pub(super) const HEADER: u8 = 1;
pub(super) const ENTRIES: u8 = 2;
pub(super) const END: u8 = 3;

/// Kind, length and checksum.
pub(super) const FRAME_BYTES: usize = 1 + 4 + 4;

/// Writes a block and returns its checksum.
pub(super) fn write(out: &mut impl Write, kind: u8, payload: &[u8]) -> io::Result<u32> {
    let length = (payload.len() as u32).to_le_bytes();
    let crc = checksum(kind, length, payload);
    out.write_all(&[kind])?;
    out.write_all(&length)?;
    out.write_all(&crc.to_le_bytes())?;
    out.write_all(payload)?;
    Ok(crc)
}

/// A block as it was read.
pub(super) struct Block {
    pub(super) kind: u8,
    pub(super) crc: u32,
    pub(super) payload: Vec<u8>,
}

/// Why a block could not be read.
pub(super) enum BadBlock {
    Damaged(&'static str),
    Io(io::Error),
}

/// Reads a block; never allocates more than [`MAX_PAYLOAD`].
pub(super) fn read(input: &mut impl Read) -> Result<Block, BadBlock> {
    let mut frame = [0; FRAME_BYTES];
    read_exact(input, &mut frame)?;
    let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = frame;
    let length = [l0, l1, l2, l3];
    let crc = u32::from_le_bytes([c0, c1, c2, c3]);
    let bytes = u32::from_le_bytes(length) as usize;
    if bytes > MAX_PAYLOAD {
        return Err(BadBlock::Damaged("a block that is longer than any block"));
    }
    let mut payload = vec![0; bytes];
    read_exact(input, &mut payload)?;
    if checksum(kind, length, &payload) != crc {
        return Err(BadBlock::Damaged("the checksum does not fit"));
    }
    Ok(Block { kind, crc, payload })
}

fn read_exact(input: &mut impl Read, bytes: &mut [u8]) -> Result<(), BadBlock> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BadBlock::Damaged("the file ends in the middle"),
        _ => BadBlock::Io(error),
    })
}

fn checksum(kind: u8, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}
