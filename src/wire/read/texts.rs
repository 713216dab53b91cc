//! The text that a model wrote, kept while its answer runs: it is counted where no usage comes.

use super::written::Part;
use crate::wire::json::unescape;

/// Bytes kept of one answer's text on the edge: some 16,000 tokens of English, more than most answers
/// have, and half of what an open stream takes of an isolate's memory otherwise. Past it nothing is
/// kept, and events and words are what counts.
pub const TEXTS_MAX: usize = 64 * 1024;
/// Texts of one answer kept apart: 128 choices, the most an API gives, and as many tool calls.
const PARTS_MAX: usize = 256;

/// The texts of one answer, up to a bound.
#[derive(Debug)]
pub(super) struct Texts {
    kept: Vec<(Part, String)>,
    /// The text that the last piece went to: the next one mostly goes there too.
    last: usize,
    /// Bytes that may still be kept; none once a piece did not fit, or a text would have a hole.
    pub room: usize,
    /// Pieces kept so far.
    pub pieces: u64,
    /// Tokens of the events that have no text here: one each, or one a word that begins in it.
    pub beside: u64,
}

impl Texts {
    /// Keeps up to `room` bytes.
    pub fn new(room: usize) -> Self {
        Self { kept: Vec::new(), last: 0, room, pieces: 0, beside: 0 }
    }

    /// The next piece of a text; false where it is not kept.
    pub fn keep(&mut self, part: Part, piece: &str) -> bool {
        let Some(room) = self.room.checked_sub(piece.len()) else {
            self.room = 0;
            return false;
        };
        if self.kept.get(self.last).is_none_or(|(known, _)| *known != part) {
            let found = self.kept.iter().position(|(known, _)| *known == part);
            if found.is_none() && self.kept.len() >= PARTS_MAX {
                return false;
            }
            self.last = found.unwrap_or(self.kept.len());
            if found.is_none() {
                self.kept.push((part, String::new()));
            }
        }
        let Some((_, text)) = self.kept.get_mut(self.last) else { return false };
        text.push_str(piece);
        self.room = room;
        self.pieces = self.pieces.saturating_add(1);
        true
    }

    /// The same, of a piece as it stands between the quotes of a JSON string.
    pub fn keep_raw(&mut self, part: Part, raw: &[u8]) -> bool {
        if raw.len() > self.room.saturating_mul(6) {
            self.room = 0; // no escape is longer than six bytes
            return false;
        }
        match core::str::from_utf8(raw) {
            Ok(piece) if memchr::memchr(b'\\', raw).is_none() => self.keep(part, piece),
            _ => self.keep(part, &unescape(raw)),
        }
    }

    /// The texts, each as far as it was kept.
    pub fn into_texts(self) -> Vec<String> {
        self.kept.into_iter().map(|(_, text)| text).filter(|text| !text.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn part(item: u64) -> Part {
        Part { field: "content", item, inner: 0 }
    }

    #[test]
    fn interleaved_texts_are_kept_apart() {
        let mut texts = Texts::new(TEXTS_MAX);
        for piece in ["a", "b", "c"] {
            assert!(texts.keep(part(0), piece) && texts.keep_raw(part(1), piece.as_bytes()));
        }
        assert!(texts.keep_raw(part(1), br"\n\u00e9\ud83d\ude00"));
        assert_eq!(texts.into_texts(), ["abc", "abc\n\u{e9}\u{1f600}"]);
    }

    #[test]
    fn what_does_not_fit_ends_the_keeping_so_that_no_text_has_a_hole() {
        let mut texts = Texts::new(8);
        assert!(texts.keep(part(0), "123456"));
        assert!(!texts.keep(part(0), "789"));
        assert!(!texts.keep(part(0), "0"));
        assert_eq!(texts.into_texts(), ["123456"]);
    }

    #[test]
    fn no_more_than_so_many_texts_are_kept() {
        let mut texts = Texts::new(TEXTS_MAX);
        let kept = (0..1000).filter(|item| texts.keep(part(*item), "x")).count();
        assert_eq!(kept, PARTS_MAX);
        assert!(texts.keep(part(7), "y"), "a known one goes on");
    }
}
