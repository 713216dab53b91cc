//! Counting a text that arrives in parts.

use super::class::{self, Class};
use super::memo::Memo;
use super::split::Pieces;
use super::tokeniser::{Count, Tokeniser, fewest};

/// Longest piece waited for, in bytes. Words, numbers and runs of symbols are a hundredth of this;
/// only a text without any boundary is longer, and it is then bounded, not counted.
pub const CARRY_MAX: usize = 64 * 1024;

/// How much text is gathered before pieces are looked for in it, at least: so that deltas of a
/// few bytes each are not searched one by one.
const GATHER: usize = 256;

/// Counts a text that arrives in parts, cut anywhere between characters, with at most [`CARRY_MAX`]
/// bytes kept, one delta, and 24 KiB of words met. The count so far never falls, and at the end it
/// is that of the whole text: exact, unless one of its pieces was longer than [`CARRY_MAX`].
///
/// ```
/// use farebox::tokens::{Count, Counter, Tokeniser, Vocabulary};
/// let mut counter = Counter::new(Tokeniser::of(Vocabulary::O200kBase).unwrap());
/// counter.push("Hel");
/// counter.push("lo, world!");
/// assert_eq!(counter.so_far(), 1);
/// assert_eq!(counter.end(), Count { at_least: 4, exact: true });
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    tokeniser: Tokeniser,
    /// What the words of this text counted before.
    memo: Memo,
    /// Tokens of the pieces that nothing can change any more.
    tokens: u64,
    /// The text after them.
    carry: String,
    /// How long the carry has to be before it is looked at again.
    look_at: usize,
    /// After a piece that was too long: what was skipped, until a boundary is found.
    skipped: Option<Skipped>,
    exact: bool,
}

#[derive(Clone, Debug)]
struct Skipped {
    bytes: usize,
    /// The last character was a letter or a number.
    after_word: bool,
}

impl Counter {
    /// Begins a text.
    pub fn new(tokeniser: Tokeniser) -> Self {
        Self {
            tokeniser,
            memo: Memo::new(),
            tokens: 0,
            carry: String::new(),
            look_at: GATHER,
            skipped: None,
            exact: true,
        }
    }

    /// Adds what the text goes on with.
    pub fn push(&mut self, mut delta: &str) {
        while !delta.is_empty() {
            delta = self.skip(delta);
            // One delta may be long: it is taken in parts, so that the carry stays bounded.
            let room = CARRY_MAX.saturating_sub(self.carry.len()).max(4);
            let (part, rest) = delta.split_at(delta.floor_char_boundary(room));
            self.carry.push_str(part);
            delta = rest;
            if self.carry.len() >= self.look_at {
                self.settle();
            }
        }
    }

    /// A lower bound of the text so far, whatever it goes on with. It never falls.
    pub fn so_far(&self) -> u64 {
        let skipped = self.skipped.as_ref().map_or(0, |skipped| skipped.bytes);
        // Either the carry or what was skipped: never both at once.
        self.tokens.saturating_add(fewest(self.carry.len().max(skipped)))
    }

    /// False once the text had a piece longer than [`CARRY_MAX`].
    pub fn exact(&self) -> bool {
        self.exact
    }

    /// The text is over.
    pub fn end(self) -> Count {
        if self.skipped.is_some() {
            return Count { at_least: self.so_far(), exact: false };
        }
        let rest = self.tokeniser.count(&self.carry).at_least;
        Count { at_least: self.tokens.saturating_add(rest), exact: self.exact }
    }

    /// Counts the pieces that nothing can change any more.
    fn settle(&mut self) {
        let mut settled = 0;
        for piece in Pieces::of_beginning(&self.carry, self.tokeniser.rules) {
            settled = piece.end;
            self.tokens = self.tokens.saturating_add(self.tokeniser.piece(
                &mut self.memo,
                &self.carry,
                piece,
            ));
        }
        self.carry.drain(..settled);
        if self.carry.len() > CARRY_MAX.saturating_sub(4) {
            self.skipped = Some(Skipped { bytes: self.carry.len(), after_word: false });
            self.exact = false;
            self.carry.clear();
        }
        // Twice the length each time: so a piece that grows byte by byte is not searched for each.
        self.look_at =
            self.carry.len().saturating_mul(2).clamp(GATHER, CARRY_MAX.saturating_sub(4));
    }

    /// Passes over what belongs to a piece that was too long, up to a place that is a boundary by
    /// every rule: between a letter or number and white space. Returns what comes after.
    fn skip<'a>(&mut self, delta: &'a str) -> &'a str {
        let Some(skipped) = &mut self.skipped else { return delta };
        let mut at = 0;
        while at < delta.len() {
            let (class, width) = class::at(delta.as_bytes(), at);
            if skipped.after_word && matches!(class, Class::Space | Class::Newline) {
                self.tokens = self.tokens.saturating_add(fewest(skipped.bytes));
                self.skipped = None;
                break;
            }
            skipped.after_word =
                matches!(class, Class::Number | Class::Upper | Class::Lower | Class::Letter);
            skipped.bytes = skipped.bytes.saturating_add(width);
            at = at.saturating_add(width);
        }
        delta.get(at..).unwrap_or_default()
    }
}
