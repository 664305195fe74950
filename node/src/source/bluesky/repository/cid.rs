//! Content ids: the hash of a block and how to read it.

use std::fmt;

use ring::digest::{SHA256, digest};

/// Codec of blocks that hold DAG-CBOR, and of those that hold any bytes, from the table of multicodec.
const DAG_CBOR: u8 = 0x71;
const RAW: u8 = 0x55;
/// SHA-256 with 32 bytes.
const HASH: [u8; 2] = [0x12, 0x20];

/// A CID as the AT Protocol has it: version 1, DAG-CBOR or raw, SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cid {
    codec: u8,
    pub(super) digest: [u8; 32],
}

impl Cid {
    /// Bytes of its binary form.
    pub(super) const BYTES: usize = 36;

    /// Reads the binary form; `None` if it is another kind.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&[version, codec, kind, length], digest) = bytes.split_first_chunk::<4>()?;
        let known = version == 1 && matches!(codec, DAG_CBOR | RAW) && [kind, length] == HASH;
        known.then_some(Self { codec, digest: digest.try_into().ok()? })
    }

    /// Whether these are the bytes that it stands for.
    pub(super) fn is_of(&self, block: &[u8]) -> bool {
        digest(&SHA256, block).as_ref() == self.digest
    }

    /// The CID of a block of DAG-CBOR.
    #[cfg(test)]
    pub(super) fn of(block: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, block).as_ref());
        Self { codec: DAG_CBOR, digest: hash }
    }

    /// Its binary form.
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&[1, self.codec, HASH[0], HASH[1]]);
        bytes[4..].copy_from_slice(&self.digest);
        bytes
    }
}

impl fmt::Display for Cid {
    /// Base 32 (RFC 4648, lower case, without padding) after a `b`, as multibase has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        /// 36 bytes are 288 bits, five a character, and the letter before them.
        const CHARACTERS: usize = 59;
        let mut text = [b'b'; CHARACTERS];
        let (mut bits, mut held, mut at) = (0u32, 0, 1);
        for byte in self.to_bytes() {
            bits = bits << 8 | u32::from(byte);
            held += 8;
            while held >= 5 {
                held -= 5;
                text[at] = ALPHABET[(bits >> held & 31) as usize];
                at += 1;
            }
        }
        text[at] = ALPHABET[(bits << (5 - held) & 31) as usize];
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cid_is_written_as_everybody_writes_it() {
        // The CID of DAG-CBOR's empty map, as published in the examples of IPLD.
        assert_eq!(
            Cid::of(&[0xa0]).to_string(),
            "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
        );
    }

    #[test]
    fn other_kinds_are_none() {
        let good = Cid::of(b"x");
        assert_eq!(Cid::from_bytes(&good.to_bytes()), Some(good));
        for (at, byte) in [(0, 0), (1, 0x70), (2, 0x13), (3, 0x1f)] {
            let mut bytes = good.to_bytes();
            bytes[at] = byte;
            assert_eq!(Cid::from_bytes(&bytes), None);
        }
        assert_eq!(Cid::from_bytes(&good.to_bytes()[..35]), None);
        assert!(good.is_of(b"x") && !good.is_of(b"y"));
    }
}
