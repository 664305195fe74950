//! The ids that hosts give to accounts, posts and follows.

/// Smallest id of an account: 18 digits, over 2^53.
const ACCOUNTS: u64 = 110_000_000_000_000_000;
/// Distance between the ids of two accounts on one host, and of one account on two hosts.
const ACCOUNT_STEP: u64 = 1_000_003;
const HOST_STEP: u64 = 31;
/// Follows have small ids.
const FOLLOW_STEP: u64 = 3;
/// What a ULID has below its ordered part.
const ULID_TAIL: u128 = 0x0bc_defa_bcde_fabc;
const ULID_TAIL_BITS: u32 = 60;
const ULID_DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ULID_LENGTH: usize = 26;

/// The id by which a host (from 1) knows the account with this number.
pub(super) fn account_id(host: u32, number: u64) -> u64 {
    ACCOUNTS + number * ACCOUNT_STEP + u64::from(host) * HOST_STEP
}

/// The account with an id; `None` if this host gave it to none.
pub(super) fn account_number(host: u32, id: u64) -> Option<u64> {
    let offset = id.checked_sub(ACCOUNTS)?.checked_sub(u64::from(host) * HOST_STEP)?;
    (offset % ACCOUNT_STEP == 0).then_some(offset / ACCOUNT_STEP)
}

/// The id of the follow at a position of a list of `total`, newest first.
pub(super) fn follow_id(total: u64, position: u64) -> u64 {
    (total - position) * FOLLOW_STEP
}

/// The position of the first follow with an id below `max`.
pub(super) fn position_below(total: u64, max: u64) -> u64 {
    let newest_below = max.saturating_sub(1) / FOLLOW_STEP;
    total.saturating_sub(newest_below)
}

/// A number as a ULID; the order stays.
pub(super) fn to_ulid(number: u64) -> String {
    let value = u128::from(number) << ULID_TAIL_BITS | ULID_TAIL;
    let digit = |place: usize| {
        let five_bits = (value >> (5 * (ULID_LENGTH - 1 - place))) & 31;
        char::from(ULID_DIGITS[five_bits as usize])
    };
    (0..ULID_LENGTH).map(digit).collect()
}

/// The number within a ULID.
pub(super) fn from_ulid(text: &str) -> Option<u64> {
    if text.len() != ULID_LENGTH {
        return None;
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = ULID_DIGITS.iter().position(|digit| *digit == byte)?;
        value = value.checked_mul(32)? | digit as u128;
    }
    u64::try_from(value >> ULID_TAIL_BITS).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_accounts_belong_to_one_host_and_are_read_back() {
        for (host, number) in [(1, 1), (7, 123_456), (5000, 9_999_999)] {
            let id = account_id(host, number);
            assert_eq!(account_number(host, id), Some(number));
            assert_eq!(account_number(host + 1, id), None);
            assert_eq!(id.to_string().len(), 18);
            assert!(id > 1 << 53);
        }
        assert_eq!(account_number(1, 5), None);
    }

    #[test]
    fn a_list_goes_on_below_the_last_follow() {
        for total in [1, 7, 100] {
            for position in 0..total {
                let id = follow_id(total, position);
                assert_eq!(position_below(total, id), position + 1);
                assert_eq!(position_below(total, id + 1), position);
            }
        }
        assert_eq!(position_below(9, u64::MAX), 0);
        assert_eq!(position_below(9, 0), 9);
    }

    #[test]
    fn ulids_keep_the_order_and_are_read_back() {
        let ids = [1, 340_000_000_000_000_001, 340_000_000_000_000_002, u64::MAX];
        let texts = ids.map(to_ulid);
        assert!(texts.is_sorted());
        assert!(texts.iter().all(|text| text.len() == 26 && text.contains(char::is_alphabetic)));
        assert_eq!(texts.each_ref().map(|text| from_ulid(text).unwrap()), ids);
        assert_eq!(from_ulid("01"), None);
        assert_eq!(from_ulid(&"I".repeat(26)), None);
    }
}
