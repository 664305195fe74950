//! Stateless random numbers from a seed.

/// A uniform 64-bit number for a seed, a subject and a purpose (the finaliser of SplitMix64, twice).
pub(in crate::emulator) fn draw(seed: u64, subject: u64, purpose: u64) -> u64 {
    mix(mix(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93)).wrapping_add(subject))
}

/// A uniform number in `0..1`.
pub(in crate::emulator) fn unit(seed: u64, subject: u64, purpose: u64) -> f64 {
    // An f64 has only 53 bits of precision.
    (draw(seed, subject, purpose) >> 11) as f64 / (1u64 << 53) as f64
}

/// A number below `bound`, which must be small against 2^64.
pub(super) fn below(number: u64, bound: usize) -> usize {
    (number % bound.max(1) as u64) as usize
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
