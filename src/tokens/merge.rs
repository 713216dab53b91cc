//! Byte pair merging within one piece: the two neighbours whose bytes together have the lowest
//! rank become one part, the leftmost first, until no two neighbours are a token.

use core::ops::Range;

use super::long_merge;
use super::memo::{self, Memo};
use super::table::{NO_RANK, Table};

/// Longest piece, in bytes, whose lowest pair is found by looking at all of them: beats a heap for
/// short pieces, and costs at most the square of this.
const SCAN_MAX: usize = 96;

/// How many tokens a piece is. Takes time in n log n and up to 60 bytes of memory for each byte.
#[inline]
pub fn count(
    table: &Table,
    memo: &mut Memo,
    text: &[u8],
    Range { start, end }: Range<usize>,
) -> u64 {
    match end.wrapping_sub(start) {
        1 => 1,
        length @ 3..=memo::PIECE_MAX => {
            memo.get(text, start, length, || find_or_merge(table, text, start, end))
        }
        _ => find_or_merge(table, text, start, end),
    }
}

fn find_or_merge(table: &Table, text: &[u8], start: usize, end: usize) -> u64 {
    if table.has(text, start, end) {
        return 1;
    }
    let piece = text.get(start..end).unwrap_or_default();
    match piece.len() {
        ..=16 => scan::<16>(table, text, start, piece),
        17..=32 => scan::<32>(table, text, start, piece),
        33..=SCAN_MAX => scan::<SCAN_MAX>(table, text, start, piece),
        _ => long_merge::count(table, piece),
    }
}

/// The pair at a part that has been merged into its left neighbour.
const GONE: u32 = u32::MAX;

/// Counts the piece that begins at `start` of a text. Parts are looked up in the text, not in the
/// piece: with the bytes that follow, a token is read in whole words.
///
/// Everything is at the offset of the byte that a part begins with. A key is the rank of the part
/// joined with the next one, then that offset: the least key is the leftmost of the lowest rank.
fn scan<const ROOM: usize>(table: &Table, text: &[u8], start: usize, piece: &[u8]) -> u64 {
    let size = piece.len();
    let mut keys = [GONE; ROOM];
    let (mut next, mut previous) = ([0_u8; ROOM], [0_u8; ROOM]);
    for (((key, pair), at), (next, previous)) in
        keys.iter_mut().zip(piece.windows(2)).zip(0_u8..).zip(next.iter_mut().zip(&mut previous))
    {
        if let [first, second] = pair {
            *key = table.pair(*first, *second) << 8 | u32::from(at);
        }
        *next = at.wrapping_add(1);
        *previous = at.wrapping_sub(1);
    }
    let (last, end) = (size.wrapping_sub(1), size);
    set(&mut next, last, end);
    set(&mut previous, last, size.wrapping_sub(2));
    let mut parts = size as u64;
    loop {
        let lowest = keys.iter().fold(GONE, |least, &key| least.min(key));
        if lowest >= NO_RANK << 8 {
            return parts;
        }
        parts = parts.wrapping_sub(1);
        let left = (lowest & 0xFF) as usize;
        let right = at(&next, left);
        let after = at(&next, right);
        set_key(&mut keys, right, GONE);
        set(&mut next, left, after);
        set(&mut previous, after, left);
        let key = |from: usize, to: usize| {
            #[expect(clippy::cast_possible_truncation, reason = "less than SCAN_MAX")]
            let offset = from as u32;
            table.rank(text, start.wrapping_add(from), start.wrapping_add(to)) << 8 | offset
        };
        let joined = if after < end { key(left, at(&next, after)) } else { GONE };
        set_key(&mut keys, left, joined);
        if left > 0 {
            let before = at(&previous, left);
            set_key(&mut keys, before, key(before, after));
        }
    }
}

#[inline]
fn at(offsets: &[u8], index: usize) -> usize {
    offsets.get(index).copied().unwrap_or_default().into()
}

#[inline]
fn set(offsets: &mut [u8], index: usize, offset: usize) {
    if let Some(slot) = offsets.get_mut(index) {
        #[expect(clippy::cast_possible_truncation, reason = "at most SCAN_MAX")]
        let offset = offset as u8;
        *slot = offset;
    }
}

#[inline]
fn set_key(keys: &mut [u32], index: usize, key: u32) {
    if let Some(slot) = keys.get_mut(index) {
        *slot = key;
    }
}
