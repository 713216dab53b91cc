//! A vocabulary in the data segment: token bytes -> rank, with nothing to do at the start.
//!
//! Tokens of two bytes have a table of their own, indexed by those bytes. Longer ones are grouped
//! by length, and each group is a perfect hash table: a token's hash picks a pilot, a byte that was
//! searched for when the table was made so that no two tokens are steered to one slot. So finding
//! a token, or that there is none, is one look at one slot. Every single byte is a token; the merge
//! never asks for its rank.

use super::hash;

/// Longest token of any vocabulary here, in bytes: a text has at least its bytes over this.
pub const TOKEN_BYTES_MAX: u64 = 128;

/// What is no token, in place of a rank: above all ranks, which fit eighteen bits.
pub const NO_RANK: u32 = 0x00FF_FFFF;

/// One vocabulary's tables, made by `make token-tables`. Numbers are little-endian.
#[derive(Debug)]
pub struct Table {
    /// Rank of each two-byte token, in three bytes, at the token as a big-endian number; all ones
    /// where there is none.
    pub pairs: &'static [u8],
    /// For each length, from zero: where its tokens begin, its first slot, how many slots it has,
    /// its first pilot, and how many pilots; five `u32`.
    pub groups: &'static [u8],
    /// The pilots.
    pub pilots: &'static [u8],
    /// The token in each slot, then sixteen bytes to spare; 0xFF, which no text has, in empty ones.
    pub tokens: &'static [u8],
    /// Lower sixteen bits of the rank in each slot; `u16`.
    pub ranks_low: &'static [u8],
    /// Upper two bits of the rank in each slot, four to a byte, lowest first.
    pub ranks_high: &'static [u8],
}

impl Table {
    /// The rank of the token of two or more bytes at `from..to`; [`NO_RANK`] if there is none.
    #[inline]
    pub fn rank(&self, text: &[u8], from: usize, to: usize) -> u32 {
        if let Some([first, second]) = text.get(from..to) {
            return self.pair(*first, *second);
        }
        self.slot(text, from, to).map_or(NO_RANK, |slot| {
            let low = self.ranks_low.get(slot.wrapping_mul(2)..).and_then(<[u8]>::first_chunk);
            let high = self.ranks_high.get(slot >> 2).copied().unwrap_or_default();
            let low = low.map_or(0, |two| u16::from_le_bytes(*two));
            u32::from(low) | (u32::from(high) >> ((slot & 3) << 1) & 3) << 16
        })
    }

    /// The rank of a token of two bytes.
    #[inline]
    pub fn pair(&self, first: u8, second: u8) -> u32 {
        let at = usize::from(u16::from_be_bytes([first, second])).wrapping_mul(3);
        match self.pairs.get(at..).and_then(<[u8]>::first_chunk) {
            Some(&[a, b, c]) => u32::from_le_bytes([a, b, c, 0]),
            None => NO_RANK,
        }
    }

    /// Whether the bytes at `from..to` are one token.
    #[inline]
    pub fn has(&self, text: &[u8], from: usize, to: usize) -> bool {
        match text.get(from..to) {
            Some([_]) => true,
            Some([first, second]) => self.pair(*first, *second) != NO_RANK,
            _ => self.slot(text, from, to).is_some(),
        }
    }

    /// The slot of a token of three or more bytes.
    #[inline]
    fn slot(&self, text: &[u8], from: usize, to: usize) -> Option<usize> {
        let length = to.wrapping_sub(from);
        let group = self.groups.get(length.wrapping_mul(20)..)?.first_chunk::<20>()?;
        let (slots, pilots) = (number(group, 2), number(group, 4));
        let words = hash::words(text, from, length);
        let rest = if length > 16 { text.get(from.wrapping_add(16)..to)? } else { &[] };
        let hash = hash::hash(words, rest);
        let pilot = (number(group, 3) as usize).wrapping_add(hash::pilot(hash, pilots));
        let slot = hash::slot(hash, *self.pilots.get(pilot)?, slots);
        let at = (number(group, 0) as usize).wrapping_add(slot.wrapping_mul(length));
        let same = hash::words(self.tokens, at, length) == words
            && (length <= 16
                || self.tokens.get(at.wrapping_add(16)..at.wrapping_add(length)) == Some(rest));
        same.then(|| (number(group, 1) as usize).wrapping_add(slot))
    }
}

#[inline]
fn number(group: &[u8; 20], index: usize) -> u32 {
    let at = index.wrapping_mul(4);
    group.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four))
}
