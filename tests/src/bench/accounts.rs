//! Account ids computed from an index, so that a hundred million of them need no memory.

use storage::ids::UserId;

const BITS: u32 = 60;

/// The account for an index below 2^60: an odd 61-bit number, uniformly distributed. Different indexes give
/// different accounts.
pub(super) fn account(index: u64) -> UserId {
    UserId::Number((permuted(index) << 1) | 1)
}

/// A number that is not the account of any index, with the same distribution.
pub(super) fn stranger(index: u64) -> UserId {
    UserId::Number(permuted(index) << 1)
}

/// Whether a number is the account of some index.
pub(super) fn is_account(user: &UserId) -> bool {
    matches!(user, UserId::Number(number) if number & 1 == 1)
}

/// SplitMix64's finalizer on 60 bits. Each step is invertible, so no two indexes collide.
fn permuted(index: u64) -> u64 {
    const MASK: u64 = (1 << BITS) - 1;
    let mut mixed = index & MASK;
    for odd in [0xbf5_8476_d1ce_4e5b, 0x4d0_49bb_1331_11eb] {
        mixed ^= mixed >> 31;
        mixed = mixed.wrapping_mul(odd) & MASK;
    }
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_indexes_have_the_same_account() {
        let accounts: BTreeSet<UserId> = (0..200_000).map(account).collect();
        assert_eq!(accounts.len(), 200_000);
        assert!(accounts.iter().all(is_account));
        assert!((0..1_000).map(stranger).all(|user| !is_account(&user)));
    }

    #[test]
    fn accounts_are_spread_over_all_numbers() {
        let mut tenths = [0; 10];
        for index in 0..10_000 {
            let UserId::Number(number) = account(index) else { continue };
            tenths[((u128::from(number) * 10) >> 61) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
    }
}
