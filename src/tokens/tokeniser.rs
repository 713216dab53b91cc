//! Counting a text that is there whole.

use core::ops::Range;

use super::data;
use super::encoding::Vocabulary;
use super::memo::Memo;
use super::merge;
use super::split::{Pieces, Rules};
use super::table::{TOKEN_BYTES_MAX, Table};

/// Longest text counted, in bytes: some 20 ms of work on prose and a second on the worst there is,
/// and up to 60 MiB of memory for a text that is one piece. Longer ones get bounds.
pub const TEXT_MAX: usize = 1024 * 1024;

/// How many tokens a text is, as far as it was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The text is so many tokens, or more where `exact` is false.
    pub at_least: u64,
    /// The whole text was counted.
    pub exact: bool,
}

impl Count {
    /// Most tokens the text can be, given how many UTF-8 bytes it has.
    pub fn at_most(self, bytes: u64) -> u64 {
        if self.exact { self.at_least } else { bytes.saturating_mul(super::TOKENS_PER_BYTE_MAX) }
    }
}

/// Counts text with one vocabulary. Costs nothing to make.
///
/// ```
/// use farebox::tokens::{Count, Tokeniser, Vocabulary};
/// // A native build carries every vocabulary, a Wasm build the one of its feature.
/// let tokeniser = Tokeniser::of(Vocabulary::O200kBase).unwrap();
/// assert_eq!(tokeniser.count("Hello, world!"), Count { at_least: 4, exact: true });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tokeniser {
    table: &'static Table,
    pub(super) rules: Rules,
}

impl Tokeniser {
    /// The tokeniser of a vocabulary; `None` where this build does not carry it.
    pub fn of(vocabulary: Vocabulary) -> Option<Self> {
        Some(Self { table: data::table(vocabulary)?, rules: vocabulary.rules() })
    }

    /// How many tokens a text is: as the reference implementation's `encode_ordinary` has it, in
    /// which the names of special tokens are text like any other. Past [`TEXT_MAX`] not exact.
    pub fn count(self, text: &str) -> Count {
        self.count_till(text, u64::MAX)
    }

    /// The same, but stops when the count has passed `limit`: it is then above `limit`, not exact.
    pub fn count_till(self, text: &str, limit: u64) -> Count {
        if text.len() > TEXT_MAX {
            return self.beginning(text, limit);
        }
        let (mut tokens, mut memo) = (0_u64, Memo::new());
        for piece in Pieces::of(text, self.rules) {
            // A long piece may pass the limit by its length alone, without the work of merging it.
            if tokens.saturating_add(fewest(piece.len())) > limit {
                return Count { at_least: limit.saturating_add(1), exact: false };
            }
            tokens = tokens.saturating_add(self.piece(&mut memo, text, piece));
        }
        Count { at_least: tokens, exact: tokens <= limit }
    }

    /// Tokens of one piece of a text.
    #[inline]
    pub(super) fn piece(self, memo: &mut Memo, text: &str, piece: Range<usize>) -> u64 {
        merge::count(self.table, memo, text.as_bytes(), piece)
    }

    /// A bound for a text that is too long: its beginning counted, the rest by its length.
    fn beginning(self, text: &str, limit: u64) -> Count {
        let cut = text.floor_char_boundary(TEXT_MAX);
        let (mut tokens, mut memo) = (0_u64, Memo::new());
        let mut counted = 0;
        for piece in Pieces::of_beginning(text.get(..cut).unwrap_or_default(), self.rules) {
            counted = piece.end;
            tokens = tokens.saturating_add(self.piece(&mut memo, text, piece));
            if tokens > limit {
                break;
            }
        }
        let rest = fewest(text.len().saturating_sub(counted));
        Count { at_least: tokens.saturating_add(rest), exact: false }
    }
}

/// Fewest tokens that whole pieces of so many bytes can be.
pub(super) fn fewest(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(TOKEN_BYTES_MAX)
}
