//! Checksums of stored records and of what replicas have to agree on.

use std::io;

use serde::Serialize;
use storage::ids::UserId;

/// FNV-1a (Fowler, Noll, Vo) with the finalizer of SplitMix64 (Steele et al., 2014), without which sums of similar
/// values would collide.
#[derive(Clone, Copy)]
pub(super) struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    /// Takes bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0 =
            bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        self
    }

    /// Takes a number.
    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Adds a record in its stored form.
    pub(super) fn record(&mut self, record: &impl Serialize) -> &mut Self {
        // A record that cannot be encoded stops the replica at its next checkpoint; until then its partial encoding
        // counts.
        let _ = postcard::to_io(record, &mut *self);
        self
    }

    pub(super) fn finish(self) -> u64 {
        mix(self.0)
    }
}

impl io::Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The sum of the checksums of accounts, independent of their order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct UserSum(u64);

impl UserSum {
    pub(super) fn add(&mut self, user: &UserId, depth: u32) {
        self.0 = self.0.wrapping_add(of_user(user, depth));
    }

    pub(super) fn add_number(&mut self, number: u64) {
        self.0 = self.0.wrapping_add(mix(number));
    }

    pub(super) fn remove(&mut self, user: &UserId, depth: u32) {
        self.0 = self.0.wrapping_sub(of_user(user, depth));
    }

    pub(super) fn get(self) -> u64 {
        self.0
    }
}

fn of_user(user: &UserId, depth: u32) -> u64 {
    match user {
        UserId::Number(number) => mix(mix(*number).wrapping_add(u64::from(depth))),
        UserId::Text(text) => Checksum::default().bytes(text.as_bytes()).number(u64::from(depth)).finish(),
    }
}

fn mix(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
