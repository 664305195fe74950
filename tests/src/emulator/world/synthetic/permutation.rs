//! A keyed permutation of the numbers below a size, computed for each number separately.

use crate::emulator::world::draw::draw;

const ROUNDS: u64 = 3;

/// A pseudorandom bijection of `0..size` onto itself, without a table.
///
/// Rounds of xor-shift and odd multiplication are bijections of the numbers of `bits` bits; a result beyond
/// `size` is permuted again until it is in the range (cycle walking, Black and Rogaway 2002).
#[derive(Debug, Clone, Copy)]
pub(super) struct Permutation {
    size: u64,
    mask: u64,
    shift: u32,
    offset: u64,
    factors: [u64; ROUNDS as usize],
}

impl Permutation {
    /// A permutation of `0..size`, with `size` at least 1.
    pub fn new(size: u64, key: u64) -> Self {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        Self::with_bits(size, bits, key, draw(key, ROUNDS, bits.into()))
    }

    /// A permutation of the numbers of `bits` bits that maps zero to itself.
    pub fn fixing_zero(bits: u32, key: u64) -> Self {
        Self::with_bits(1 << bits, bits, key, 0)
    }

    fn with_bits(size: u64, bits: u32, key: u64, offset: u64) -> Self {
        let mask = (1 << bits) - 1;
        // A shift of at least half the bits makes each xor-shift its own inverse.
        let shift = bits.div_ceil(2).max(1);
        let factors = std::array::from_fn(|round| draw(key, round as u64, bits.into()) | 1);
        Self { size, mask, shift, offset: offset & mask, factors }
    }

    /// The image of `number`, which must be below the size.
    pub fn apply(&self, number: u64) -> u64 {
        let mut x = number;
        loop {
            x = x.wrapping_add(self.offset) & self.mask;
            for factor in self.factors {
                x ^= x >> self.shift;
                x = x.wrapping_mul(factor) & self.mask;
            }
            x ^= x >> self.shift;
            if x < self.size {
                return x;
            }
        }
    }

    /// The number whose image is `image`, which must be below the size.
    pub fn invert(&self, image: u64) -> u64 {
        let mut x = image;
        loop {
            x ^= x >> self.shift;
            for factor in self.factors.iter().rev() {
                x = x.wrapping_mul(inverse(*factor)) & self.mask;
                x ^= x >> self.shift;
            }
            x = x.wrapping_sub(self.offset) & self.mask;
            if x < self.size {
                return x;
            }
        }
    }
}

/// The inverse of an odd number modulo 2^64, by Newton's iteration: each step doubles the number of correct
/// bits.
fn inverse(odd: u64) -> u64 {
    let mut x = odd; // right in 3 bits
    for _ in 0..5 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
    }
    x
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_number_has_one_image_and_comes_back() {
        for size in [1, 2, 3, 5, 64, 1000, 4097] {
            let permutation = Permutation::new(size, size ^ 77);
            let images: HashSet<u64> = (0..size).map(|x| permutation.apply(x)).collect();
            assert_eq!(images.len() as u64, size);
            assert!(images.iter().all(|y| *y < size));
            assert!((0..size).all(|x| permutation.invert(permutation.apply(x)) == x));
        }
    }

    #[test]
    fn large_numbers_come_back_and_zero_stays() {
        let permutation = Permutation::fixing_zero(61, 5);
        assert_eq!(permutation.apply(0), 0);
        for x in (1..1000).map(|x| x * 1_000_003) {
            assert_eq!(permutation.invert(permutation.apply(x)), x);
        }
    }
}
