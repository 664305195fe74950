//! Encodes the ids of a follower list.

use std::io::Write as _;

use super::followers_reader::FIRST_TEXT_BYTE;
use super::{Codec, DatasetError, FileKey, FollowersFormat, Result};
use crate::ids::UserId;

/// Encodes ids, one after the other.
pub(super) struct ListEncoder {
    key: FileKey,
    pub(super) format: FollowersFormat,
    /// How the bytes are compressed afterwards.
    codec: Codec,
    /// Ids so far.
    pub(super) items: u64,
    bytes: Vec<u8>,
}

impl ListEncoder {
    pub(super) fn new(key: FileKey, format: FollowersFormat, codec: Codec) -> Self {
        Self { key, format, codec, items: 0, bytes: Vec::new() }
    }

    /// Whether `follower` can be written; the first one determines the format.
    pub(super) fn check(&mut self, follower: &UserId) -> Result<()> {
        let unfit = |why| {
            let (key, follower) = (self.key.clone(), follower.to_string());
            Err(DatasetError::UnfitFollower { key, follower, why })
        };
        match (self.format, follower) {
            (_, UserId::Number(0)) => return unfit("zero is no account id"),
            (FollowersFormat::Packed, UserId::Text(_)) if self.items > 0 => {
                return unfit("the list is packed, and has numbers alone");
            }
            (FollowersFormat::Packed, UserId::Number(number)) => {
                if self.items == 0 && self.looks_otherwise(*number) {
                    self.format = FollowersFormat::Text;
                }
            }
            (_, UserId::Text(text)) => {
                if self.items == 0 {
                    if text.as_bytes().first().is_some_and(|byte| *byte < FIRST_TEXT_BYTE) {
                        return unfit("at the head of a list it would look packed");
                    }
                    self.format = FollowersFormat::Text;
                }
            }
            (FollowersFormat::Text, UserId::Number(_)) => {}
        }
        Ok(())
    }

    /// Whether a packed list that starts with `number` would be read as text, or as compressed.
    fn looks_otherwise(&self, number: u64) -> bool {
        let bytes = number.to_be_bytes();
        bytes[0] >= FIRST_TEXT_BYTE
            || (!self.codec.is_compressed() && Codec::of_start(&bytes).is_compressed())
    }

    /// Encodes one more id.
    pub(super) fn encode(&mut self, follower: &UserId) -> Result<&[u8]> {
        self.check(follower)?;
        self.items += 1;
        self.bytes.clear();
        match (self.format, follower) {
            (FollowersFormat::Packed, UserId::Number(number)) => {
                self.bytes.extend_from_slice(&number.to_be_bytes());
            }
            // Writing to a Vec cannot fail.
            _ => drop(writeln!(self.bytes, "{follower}")),
        }
        Ok(&self.bytes)
    }
}
