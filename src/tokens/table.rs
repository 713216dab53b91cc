//! A vocabulary in the data segment: token bytes -> rank, with nothing to do at the start.
//!
//! Tokens of two bytes have a table of their own, indexed by those bytes. Longer ones are grouped
//! by length; a group is a hash table whose buckets lie one after the other, so that a token's
//! place in its group gives its bytes and its rank. Every single byte is a token; the merge never
//! asks for its rank.

use super::hash;

/// Longest token of any vocabulary here, in bytes: a text has at least its bytes over this.
pub const TOKEN_BYTES_MAX: u64 = 128;

/// What is no token, in place of a rank: above all ranks, which fit eighteen bits.
pub const NO_RANK: u32 = 0x00FF_FFFF;

/// One vocabulary's tables, made by `make token-tables`.
#[derive(Debug)]
pub struct Table {
    /// Rank of each two-byte token, three bytes little-endian, at the bytes as a big-endian number;
    /// all ones where there is none.
    pub pairs: &'static [u8],
    /// For each length: four little-endian `u32`: where its token bytes begin, its first place in
    /// the ranks, its first bucket, and how many buckets it has.
    pub groups: &'static [u8],
    /// For each bucket, and once more after each group: the place in its group where it begins;
    /// `u16`, little-endian.
    pub starts: &'static [u8],
    /// Lower sixteen bits of each token's rank, little-endian.
    pub ranks_low: &'static [u8],
    /// Upper two bits of each token's rank, four to a byte, lowest first.
    pub ranks_high: &'static [u8],
    /// The tokens themselves.
    pub tokens: &'static [u8],
}

impl Table {
    /// The rank of a token of two or more bytes; [`NO_RANK`] if these bytes are none.
    #[inline]
    pub fn rank(&self, token: &[u8]) -> u32 {
        if let [first, second] = token {
            return self.pair(*first, *second);
        }
        self.place(token).map_or(NO_RANK, |place| {
            let low = read_u16(self.ranks_low, place);
            let high = self.ranks_high.get(place >> 2).copied().unwrap_or_default();
            let shift = (place & 3) << 1;
            low | (u32::from(high >> shift) & 3) << 16
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

    /// Whether these bytes are one token.
    #[inline]
    pub fn has(&self, bytes: &[u8]) -> bool {
        match bytes {
            [] => false,
            [_] => true,
            [first, second] => self.pair(*first, *second) != NO_RANK,
            _ => self.place(bytes).is_some(),
        }
    }

    /// The place among the ranks of a token of three or more bytes.
    #[inline]
    fn place(&self, token: &[u8]) -> Option<usize> {
        let length = token.len();
        let group = self.groups.get(length.wrapping_mul(16)..)?.first_chunk::<16>()?;
        let number = |at| read_u32(group, at);
        let (bytes, first, buckets) = (number(0), number(1), number(3));
        if buckets == 0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a group has at most 2^16 buckets")]
        let bucket =
            number(2).wrapping_add(hash::bucket(hash::hash(token), buckets as u32) as usize);
        let start = read_u16(self.starts, bucket) as usize;
        let end = read_u16(self.starts, bucket.wrapping_add(1)) as usize;
        let from = bytes.wrapping_add(start.wrapping_mul(length));
        let to = bytes.wrapping_add(end.wrapping_mul(length));
        let ends = hash::ends(token);
        let found = self
            .tokens
            .get(from..to)?
            .chunks_exact(length)
            .position(|known| hash::ends(known) == ends && (length <= 16 || known == token))?;
        Some(first.wrapping_add(start).wrapping_add(found))
    }
}

#[inline]
fn read_u16(table: &[u8], index: usize) -> u32 {
    let at = index.wrapping_mul(2);
    table.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |two| u16::from_le_bytes(*two).into())
}

#[inline]
fn read_u32(table: &[u8], index: usize) -> usize {
    let at = index.wrapping_mul(4);
    table
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |four| u32::from_le_bytes(*four) as usize)
}
