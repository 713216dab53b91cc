//! What short pieces counted before: a text says its words again and again, and to look one up here
//! costs a fraction of finding it in the vocabulary, let alone of merging it.

use super::hash;

/// Longest piece kept, in bytes: what [`hash::words`] holds whole. Longer ones are rare in prose.
pub const PIECE_MAX: usize = 16;

/// How many pieces are kept: two thirds of an English text are its 256 commonest pieces, four fifths
/// its 1,024. They take 24 KiB; twice as many were no faster.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

#[derive(Clone, Copy, Debug)]
struct Slot {
    words: (u64, u64),
    /// Of the piece, in bytes; zero in a slot not used yet.
    length: u8,
    tokens: u8,
}

/// The last piece counted of all those that fall into one slot, for each.
#[derive(Clone, Debug)]
pub struct Memo(Box<[Slot]>);

impl Memo {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self(vec![Slot { words: (0, 0), length: 0, tokens: 0 }; SLOTS].into_boxed_slice())
    }

    /// How many tokens the piece of 1 to [`PIECE_MAX`] bytes at `from` is: as known, or counted now.
    #[inline]
    pub fn get(
        &mut self,
        text: &[u8],
        from: usize,
        length: usize,
        count: impl FnOnce() -> u64,
    ) -> u64 {
        let words = hash::words(text, from, length);
        #[expect(clippy::cast_possible_truncation, reason = "at most PIECE_MAX")]
        let short = length as u8;
        let Some(slot) = self.0.get_mut(place(words)) else { return count() };
        if slot.words != words || slot.length != short {
            #[expect(clippy::cast_possible_truncation, reason = "no more tokens than bytes")]
            let tokens = count() as u8;
            *slot = Slot { words, length: short, tokens };
        }
        slot.tokens.into()
    }
}

#[inline]
fn place((first, second): (u64, u64)) -> usize {
    // Odd constants with an even spread of bits; the product's upper bits are its best.
    let mixed =
        (first ^ second.wrapping_mul(0x2437_54A7_C4A9_885F)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> (u64::BITS - SLOT_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_known_is_not_counted_again() {
        let mut memo = Memo::new();
        assert_eq!(memo.get(b"a word", 1, 5, || 2), 2);
        assert_eq!(memo.get(b"no word", 2, 5, || 9), 2);
    }

    #[test]
    fn pieces_that_differ_in_their_zeros_alone_are_not_taken_for_one_another() {
        let mut memo = Memo::new();
        for (length, tokens) in [(3, 1), (4, 2), (5, 3), (16, 4), (3, 5)] {
            assert_eq!(memo.get(&[0; 16], 0, length, || tokens), tokens, "{length}");
        }
    }

    #[test]
    fn pieces_that_share_a_slot_keep_their_own_counts() {
        let mut memo = Memo::new();
        for round in 0..2 {
            for number in 100_u64..100 + 4 * SLOTS as u64 {
                let piece = number.to_string();
                let tokens = number % 7 + 1;
                assert_eq!(
                    memo.get(piece.as_bytes(), 0, piece.len(), || tokens),
                    tokens,
                    "{round}"
                );
            }
        }
    }
}
