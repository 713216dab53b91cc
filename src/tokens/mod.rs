//! Counting text in tokens.
//!
//! Exactly, with the vocabularies that are public ([`Tokeniser`], and [`Counter`] for a text that
//! arrives in parts); and without a vocabulary, by bounds that hold for every tokeniser in use
//! ([`at_least`], [`TOKENS_PER_BYTE_MAX`]). `docs/tokens.md` tells what is exact, what is not, and
//! how the tables are made.

mod class;
mod counter;
mod data;
mod encoding;
mod hash;
mod long_merge;
mod memo;
mod merge;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod tokeniser;
#[cfg(all(target_arch = "wasm32", feature = "tokeniser"))]
mod wasm;

pub use counter::{CARRY_MAX, Counter};
pub use encoding::{Encoding, Spread, Vocabulary};
pub use tokeniser::{Count, TEXT_MAX, Tokeniser};

/// Fewest tokens `text` can be, for tokenisers that split words apart before merging bytes (all
/// the byte-pair encodings in use do): one per run of letters and one per run of digits.
///
/// ```
/// assert_eq!(farebox::tokens::at_least("Hello, world 2026!"), 3);
/// assert_eq!(farebox::tokens::at_least(""), 0);
/// ```
pub fn at_least(text: &str) -> u64 {
    let mut runs = 0_u64;
    let mut last = Kind::Other;
    for c in text.chars() {
        let kind = match c {
            _ if c.is_alphabetic() => Kind::Letter,
            _ if c.is_numeric() => Kind::Digit,
            // Apostrophes and combining marks may join the letters on both sides.
            '\'' | '’' => last,
            _ if c.is_ascii() => Kind::Other,
            _ => last,
        };
        if kind != last && kind != Kind::Other {
            runs = runs.saturating_add(1);
        }
        last = kind;
    }
    runs
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Letter,
    Digit,
    Other,
}

/// Most tokens a text of so many UTF-8 bytes can be: one per byte, the worst that byte-level
/// encodings and byte fallback reach.
pub const TOKENS_PER_BYTE_MAX: u64 = 1;

/// Tokens an API may add around one message for its template. Seen: up to 7.
pub const PER_MESSAGE: u64 = 16;

/// Tokens an API may add when tools or a response format are declared. Seen: up to 1,459.
pub const WITH_TOOLS: u64 = 2_048;
