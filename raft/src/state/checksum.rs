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

#[cfg(test)]
mod tests {
    use super::*;

    /// Stores were sealed with them, and members of another release are compared by them.
    #[test]
    fn checksums_are_those_that_earlier_programs_computed() {
        // The published values of FNV-1a (draft-eastlake-fnv) and the first number of SplitMix64 with seed 0.
        assert_eq!(Checksum::default().bytes(b"a").0, 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Checksum::default().bytes(b"foo").bytes(b"bar").0, 0x8594_4171_f739_67e8);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Checksum::default().bytes(b"foobar").finish(), 0x404d_a9e3_b740_78c2);
        assert_eq!(of_user(&"a@b".parse().unwrap(), 3), 0x862f_6e7e_4062_b905);
        assert_eq!(of_user(&UserId::Number(7), 3), 0x46f2_50de_03ec_3614);
        // A record counts in its stored form: here a number in one byte.
        let (mut record, mut bytes) = (Checksum::default(), Checksum::default());
        assert_eq!(record.record(&97u64).finish(), bytes.bytes(b"a").finish());
    }

    #[test]
    fn a_sum_of_accounts_is_independent_of_their_order_and_ends_where_it_began() {
        let (one, two): (UserId, UserId) = (UserId::Number(1), "a@b".parse().unwrap());
        let (mut sum, mut other) = (UserSum::default(), UserSum::default());
        sum.add(&one, 0);
        sum.add(&two, 4);
        sum.add_number(9);
        other.add_number(9);
        other.add(&two, 4);
        other.add(&one, 0);
        assert_eq!(sum.get(), other.get());
        sum.remove(&two, 4);
        assert_ne!(sum.get(), other.get());
        sum.remove(&one, 0);
        assert_eq!(sum.get(), mix(9));
    }
}
