//! Splitting text into the pieces that byte pairs are merged within: by hand what the reference's
//! patterns say, in one pass, without a regular expression's backtracking.
//!
//! The patterns, as the reference implementation has them, are written at [`Rules`]; the letters
//! `U` and `L` stand for `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.

use core::ops::Range;

use super::class::{self, Class};

/// Which pattern splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// `[^\r\n\p{L}\p{N}]?U*L+C?` or else `[^\r\n\p{L}\p{N}]?U+L*C?` (words; C is `(?i:'s|'t|'re|'ve|'m|'ll|'d)`),
    /// `\p{N}{1,3}`, ` ?[^\s\p{L}\p{N}]+[\r\n/]*`, `\s*[\r\n]+`, `\s+(?!\S)`, `\s+`.
    O200k,
    /// `'(?i:[sdmt]|ll|ve|re)`, `[^\r\n\p{L}\p{N}]?\p{L}+`, `\p{N}{1,3}`,
    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, `\s+$`, `\s*[\r\n]`, `\s+(?!\S)`, `\s`.
    Cl100k,
}

/// The pieces of a text, one after the other, as ranges of its bytes; together they are the text.
#[derive(Debug)]
pub struct Pieces<'a> {
    text: &'a [u8],
    rules: Rules,
    /// Where the next piece begins.
    at: usize,
    /// More text may follow: a piece that could then be another one is not given out.
    open: bool,
    /// The text's end was looked at.
    saw_end: bool,
}

impl<'a> Pieces<'a> {
    /// Of a whole text.
    pub fn of(text: &'a str, rules: Rules) -> Self {
        Self { text: text.as_bytes(), rules, at: 0, open: false, saw_end: false }
    }

    /// Of the beginning of a text: ends before the first piece that depends on what follows.
    pub fn of_beginning(text: &'a str, rules: Rules) -> Self {
        Self { open: true, ..Self::of(text, rules) }
    }

    #[inline]
    fn look(&mut self, at: usize) -> (Class, usize) {
        let found = class::at(self.text, at);
        self.saw_end |= found.0 == Class::End;
        found
    }

    /// Where the piece that begins at `start` ends. The order is the patterns' own.
    fn piece(&mut self, start: usize) -> usize {
        let first = self.look(start);
        let word = match self.rules {
            Rules::O200k => self.cased_word(start, first),
            Rules::Cl100k => self.contraction(start).or_else(|| self.plain_word(start, first)),
        };
        if let Some(end) = word {
            return end;
        }
        if first.0 == Class::Number {
            return self.number(start);
        }
        self.symbols(start, first).unwrap_or_else(|| self.spaces(start))
    }

    /// `[^\r\n\p{L}\p{N}]?\p{L}+`
    fn plain_word(&mut self, start: usize, first: (Class, usize)) -> Option<usize> {
        let body = start.wrapping_add(prefix(first));
        let end =
            self.run(body, |class| matches!(class, Class::Lower | Class::Upper | Class::Letter));
        (end > body).then_some(end)
    }

    /// Both of the word patterns of [`Rules::O200k`], which begin alike.
    ///
    /// `U*` takes all it can. Where a lower-case letter follows, `L+` goes on from there; where none
    /// does, `U*` gives back up to the last character that `L` has too, and that one ends the word.
    /// Without such a character the second pattern takes the run.
    fn cased_word(&mut self, start: usize, first: (Class, usize)) -> Option<usize> {
        let body = start.wrapping_add(prefix(first));
        let (mut at, mut last_shared) = (body, None);
        let end = loop {
            let (class, width) = self.look(at);
            let next = at.wrapping_add(width);
            match class {
                Class::Upper => {}
                Class::Letter | Class::Mark => last_shared = Some(next),
                Class::Lower => {
                    break self.run(next, |class| {
                        matches!(class, Class::Lower | Class::Letter | Class::Mark)
                    });
                }
                _ => match last_shared {
                    Some(end) => break end,
                    // A mark that was taken for the prefix is a word by itself.
                    None if first.0 == Class::Mark => break body,
                    None if at == body => return None,
                    None => break at,
                },
            }
            at = next;
        };
        Some(self.contraction(end).unwrap_or(end))
    }

    /// The end of a contraction that begins here. Case folds as in the pattern: `ſ` is an `s`.
    fn contraction(&mut self, start: usize) -> Option<usize> {
        if self.byte(start)? != b'\'' {
            return None;
        }
        let second = match self.byte(start.wrapping_add(1))?.to_ascii_lowercase() {
            b's' | b't' | b'm' | b'd' => return Some(start.wrapping_add(2)),
            b'r' | b'v' => b'e',
            b'l' => b'l',
            0xC5 => {
                return (self.byte(start.wrapping_add(2))? == 0xBF).then(|| start.wrapping_add(3));
            }
            _ => return None,
        };
        let found = self.byte(start.wrapping_add(2))?.to_ascii_lowercase();
        (found == second).then(|| start.wrapping_add(3))
    }

    fn byte(&mut self, at: usize) -> Option<u8> {
        let byte = self.text.get(at).copied();
        self.saw_end |= byte.is_none();
        byte
    }

    /// `\p{N}{1,3}`
    fn number(&mut self, start: usize) -> usize {
        let mut at = start;
        for _ in 0..3 {
            match self.look(at) {
                (Class::Number, width) => at = at.wrapping_add(width),
                _ => break,
            }
        }
        at
    }

    /// ` ?[^\s\p{L}\p{N}]+[\r\n]*`, with `/` among the line ends for [`Rules::O200k`].
    fn symbols(&mut self, start: usize, first: (Class, usize)) -> Option<usize> {
        let space = first.0 == Class::Space && self.text.get(start) == Some(&b' ');
        let body = start.wrapping_add(usize::from(space));
        let end = self.run(body, |class| matches!(class, Class::Other | Class::Mark));
        if end == body {
            return None;
        }
        let mut at = self.run(end, |class| class == Class::Newline);
        while self.rules == Rules::O200k && at > end && self.byte(at) == Some(b'/') {
            at = self.run(at.wrapping_add(1), |class| class == Class::Newline);
        }
        Some(at)
    }

    /// `\s*[\r\n]+`, else `\s+(?!\S)`, else `\s+`; [`Rules::Cl100k`] has `\s+$` before them.
    fn spaces(&mut self, start: usize) -> usize {
        let (mut at, mut last, mut after_newline) = (start, start, None);
        let end = loop {
            let (class, width) = self.look(at);
            let next = at.wrapping_add(width);
            match class {
                Class::Newline => after_newline = Some(next),
                Class::Space => {}
                class => break class,
            }
            last = at;
            at = next;
        };
        match (end, after_newline) {
            (Class::End, Some(newline)) if self.rules == Rules::O200k => newline,
            (Class::End, _) => at,
            (_, Some(newline)) => newline,
            // The last one stays for what follows, unless it is the only one.
            _ if last > start => last,
            _ => at,
        }
    }

    #[inline]
    fn run(&mut self, start: usize, belongs: impl Fn(Class) -> bool) -> usize {
        let mut at = start;
        loop {
            match self.look(at) {
                (class, width) if belongs(class) => at = at.wrapping_add(width),
                _ => return at,
            }
        }
    }
}

/// How long the `[^\r\n\p{L}\p{N}]?` of a word is, when it begins with this character.
fn prefix((class, width): (Class, usize)) -> usize {
    match class {
        Class::Other | Class::Space | Class::Mark => width,
        _ => 0,
    }
}

impl Iterator for Pieces<'_> {
    type Item = Range<usize>;

    #[inline]
    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        self.saw_end = false;
        let end = self.piece(start);
        if self.open && self.saw_end {
            return None;
        }
        self.at = end;
        Some(start..end)
    }
}
