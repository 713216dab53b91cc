//! Where a vocabulary's tokens lie in their tables. The tables are made with this very file, so a
//! change here means making them again (docs/tokens.md).

#![allow(clippy::cast_possible_truncation, reason = "a hash is made of parts of words")]

/// The first sixteen of some bytes as two words, zeros after their end: of equal lengths, only
/// equal bytes give equal words.
#[inline]
pub fn words(bytes: &[u8], from: usize, length: usize) -> (u64, u64) {
    let Some(chunk) = bytes.get(from..).and_then(<[u8]>::first_chunk::<16>) else {
        return near_the_end(bytes, from, length);
    };
    let both = u128::from_le_bytes(*chunk);
    let keep = |bytes: usize| {
        let bits = (bytes.min(8) as u32).wrapping_mul(8);
        u64::MAX.checked_shr(64_u32.wrapping_sub(bits)).unwrap_or(0)
    };
    (both as u64 & keep(length), (both >> 64) as u64 & keep(length.saturating_sub(8)))
}

#[cold]
fn near_the_end(bytes: &[u8], from: usize, length: usize) -> (u64, u64) {
    let token = bytes.iter().skip(from).take(length.min(16));
    let both = token.rev().fold(0_u128, |word, &byte| word << 8 | u128::from(byte));
    (both as u64, (both >> 64) as u64)
}

/// Sixty-four well mixed bits of a token: its [`words`] and what comes after them.
#[inline]
pub fn hash((first, second): (u64, u64), rest: &[u8]) -> u64 {
    // Odd constants with an even spread of bits: the golden ratio's and pi's.
    const ONE: u64 = 0x9E37_79B9_7F4A_7C15;
    const TWO: u64 = 0x2437_54A7_C4A9_885F;
    let rest = rest.iter().fold(0_u64, |mixed, &byte| (mixed ^ u64::from(byte)).wrapping_mul(ONE));
    let mixed = (first.wrapping_mul(ONE) ^ second.wrapping_add(rest)).wrapping_mul(TWO);
    (mixed ^ (mixed >> 32)).wrapping_mul(ONE)
}

/// Which of a group's pilots steers a token.
#[inline]
pub fn pilot(hash: u64, pilots: u32) -> usize {
    scaled((hash >> 32) as u32, pilots)
}

/// The place in its group that a token's pilot steers it to.
#[inline]
pub fn slot(hash: u64, pilot: u8, slots: u32) -> usize {
    let steered = hash as u32 ^ u32::from(pilot).wrapping_mul(0x9E37_79B1);
    let steered = (steered ^ (steered >> 15)).wrapping_mul(0x85EB_CA77);
    scaled(steered, slots)
}

/// Thirty-two even bits as a number below `count`.
#[inline]
fn scaled(bits: u32, count: u32) -> usize {
    (u64::from(bits).wrapping_mul(u64::from(count)) >> 32) as usize
}
