//! LEB128: seven bits per byte, lowest first, the top bit set on all bytes but the last.
//!
//! Only the shortest form of a number is written or accepted, so that equal sequences have equal bytes and
//! longer forms can be given other meanings.

/// Longest varint of a `u64`, in bytes.
pub(crate) const MAX_VARINT: usize = 10;

/// Appends `number` to `out`.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the number at `*at` and advances `*at`. `None`: truncated, longer than 64 bits, or not in its
/// shortest form.
pub(crate) fn get(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut number = 0u64;
    for (index, byte) in bytes.get(*at..)?.iter().take(MAX_VARINT).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if index == MAX_VARINT - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            let overlong = *byte == 0 && index > 0;
            *at += index + 1;
            return (!overlong).then_some(number);
        }
    }
    None
}

/// Folds the sign of a difference into its lowest bit, so that small negative steps are short as well.
pub(crate) fn zigzag(difference: i64) -> u64 {
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for shift in 0..64 {
            for number in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = vec![0xff];
                put(&mut bytes, number);
                let mut at = 1;
                assert_eq!(get(&bytes, &mut at), Some(number));
                assert_eq!(at, bytes.len());
                let cut = bytes.len() - 1;
                assert_eq!(get(&bytes[..cut], &mut 1), None, "{number} cut off");
            }
        }
    }

    #[test]
    fn what_is_not_the_shortest_form_is_refused() {
        assert_eq!(get(&[0x80, 0x00], &mut 0), None);
        assert_eq!(get(&[0xff; 11], &mut 0), None);
        let past_64_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(get(&past_64_bits, &mut 0), None);
        assert_eq!(get(&[], &mut 0), None);
        assert_eq!(get(&[1], &mut 9), None);
    }

    #[test]
    fn zigzag_turns_around() {
        for difference in [0, 1, -1, i64::MAX, i64::MIN, 123_456_789, -987_654_321] {
            assert_eq!(unzigzag(zigzag(difference)), difference);
        }
        assert_eq!([zigzag(0), zigzag(-1), zigzag(1), zigzag(-2)], [0, 1, 2, 3]);
    }
}
