//! Reproducible chance: every simulated fact is a function of a seed, never of a generator's state.

/// A well-mixed number for this seed and salt.
#[must_use]
pub fn mix(seed: u64, salt: u64) -> u64 {
    let mut z = seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x2545_f491_4f6c_dd1d);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number for this text, the same in every process.
#[must_use]
pub fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A uniform number below `bound` (0 if `bound` is 0).
#[must_use]
pub fn below(seed: u64, salt: u64, bound: u64) -> u64 {
    mix(seed, salt).checked_rem(bound).unwrap_or(0)
}

/// One of the choices; the empty string if there is none.
#[must_use]
pub fn pick<'a>(seed: u64, salt: u64, choices: &[&'a str]) -> &'a str {
    choices.get(below(seed, salt, choices.len() as u64) as usize).copied().unwrap_or_default()
}

/// A version 4 UUID in lower case.
#[must_use]
pub fn uuid(seed: u64, salt: u64) -> String {
    let bits = (u128::from(mix(seed, salt)) << 64) | u128::from(mix(seed, !salt));
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}
