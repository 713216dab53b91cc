//! The hash that spreads a vocabulary's tokens over the buckets of its tables. The tables are made
//! with this very file, so a change here means making them again (docs/tokens.md).

/// Up to sixteen bytes as two words: of equal lengths, only equal bytes give equal words.
/// Of longer texts, the first and the last eight bytes.
#[inline]
pub fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
    } else {
        (bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)), 0)
    }
}

/// Thirty-two well mixed bits of a token.
#[inline]
pub fn hash(bytes: &[u8]) -> u32 {
    // Odd constants with an even spread of bits: the golden ratio's and pi's.
    const ONE: u64 = 0x9E37_79B9_7F4A_7C15;
    const TWO: u64 = 0x2437_54A7_C4A9_885F;
    let (first, last) = ends(bytes);
    let mut mixed = (first.wrapping_mul(ONE) ^ last).wrapping_mul(TWO);
    if bytes.len() > 16 {
        for chunk in bytes.chunks_exact(8) {
            let word = chunk.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight));
            mixed = (mixed ^ (mixed >> 32) ^ word).wrapping_mul(ONE);
        }
    }
    ((mixed ^ (mixed >> 29)).wrapping_mul(ONE) >> 32) as u32
}

/// The bucket, of so many, that a hash falls into.
#[inline]
pub fn bucket(hash: u32, buckets: u32) -> u32 {
    (u64::from(hash).wrapping_mul(u64::from(buckets)) >> 32) as u32
}
