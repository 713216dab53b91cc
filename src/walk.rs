//! JSON read once, from front to back, keeping nothing: for texts of which a few fields are wanted and
//! the rest is passed over, such as a price book's names or a million records.
//!
//! What is passed over is only seen to be balanced. Whoever needs to know that a text is sound reads it
//! whole; here it was checked before, or its errors are counted.

use std::borrow::Cow;

/// A place in a JSON text. Every reader answers `None` where the text is not what it expects.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    /// The start of a text.
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// How many bytes were read.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next byte that is not white space; it stays.
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at = self.at.saturating_add(1);
        }
    }

    /// Takes the next byte if it is this one.
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at = self.at.saturating_add(1))
    }

    /// Whether nothing but white space is left.
    pub fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// A string's text between its quotes, escapes as they are written, and whether there are any.
    fn quoted(&mut self) -> Option<(&'a str, bool)> {
        self.take(b'"')?;
        let (start, mut escaped) = (self.at, false);
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            self.at = self.at.saturating_add(found);
            if rest.get(found) == Some(&b'"') {
                break;
            }
            escaped = true;
            self.at = self.at.saturating_add(2);
        }
        let text = self.text.get(start..self.at)?;
        self.at = self.at.saturating_add(1);
        Some((text, escaped))
    }

    /// A string.
    pub fn string(&mut self) -> Option<Cow<'a, str>> {
        let (text, escaped) = self.quoted()?;
        if !escaped {
            return Some(Cow::Borrowed(text));
        }
        serde_json::from_str(&format!("\"{text}\"")).ok().map(Cow::Owned)
    }

    /// A string that has no escapes: names, numbers, times.
    pub fn plain(&mut self) -> Option<&'a str> {
        self.quoted().filter(|(_, escaped)| !escaped).map(|(text, _)| text)
    }

    /// A whole number.
    pub fn whole(&mut self) -> Option<u64> {
        self.skip()?.parse().ok()
    }

    /// Passes over any value; answers its text.
    pub fn skip(&mut self) -> Option<&'a str> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => drop(self.quoted()?),
            b'{' | b'[' => self.nested()?,
            _ => {
                let rest = self.text.as_bytes().get(start..)?;
                let ends =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                self.at = start.saturating_add(length);
                if length == 0 {
                    return None;
                }
            }
        }
        self.text.get(start..self.at)
    }

    /// Passes over an object or a list, whatever is in it: byte by byte, since the texts in it are
    /// short, and looking for the end of each would take longer than reading it.
    fn nested(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, byte) in rest.iter().enumerate() {
            if quoted {
                quoted = escaped || *byte != b'"';
                escaped = !escaped && *byte == b'\\';
                continue;
            }
            match byte {
                b'"' => quoted = true,
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at = self.at.saturating_add(at).saturating_add(1);
                        return Some(());
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// An object: `field` is called with each key, and has to read its value.
    pub fn object(
        &mut self,
        mut field: impl FnMut(&'a str, &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            self.peek()?;
            // A key with escapes is none that is looked for.
            let (key, _) = self.quoted()?;
            self.take(b':')?;
            field(key, self)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    /// A list: `item` is called before each value, and has to read it.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_asked_for_is_read() {
        let text = r#" {"a" : [1, {"x":"}\"]"}], "b":"caf\u00e9", "c" :12 , "d":null} "#;
        let mut walk = Walk::new(text);
        let mut seen = Vec::new();
        walk.object(|key, walk| {
            let value =
                if key == "b" { walk.string()?.into_owned() } else { walk.skip()?.to_owned() };
            seen.push((key, value));
            Some(())
        })
        .unwrap();
        let expected = [("a", r#"[1, {"x":"}\"]"}]"#), ("b", "café"), ("c", "12"), ("d", "null")];
        assert_eq!(seen, expected.map(|(key, value)| (key, value.to_owned())));
        assert!(walk.is_done());
    }

    proptest! {
        /// Cut anywhere, or of any bytes: an answer, never a panic or an endless loop.
        #[test]
        fn a_text_that_is_cut_is_not_read(cut in 0_usize..52) {
            let text = r#"{"a":[1,{"x":"}\"]"}],"b":"caf\u00e9","c":12,"d":[]}"#;
            let mut walk = Walk::new(&text[..cut]);
            prop_assert!(walk.object(|_, walk| walk.skip().map(drop)).is_none());
        }

        #[test]
        fn any_text_is_answered(text in "[\\[\\]{}\",:\\\\a1 ]{0,40}") {
            let mut walk = Walk::new(&text);
            let _ = walk.object(|_, walk| walk.skip().map(drop));
            let _ = Walk::new(&text).list(|walk| walk.skip().map(drop));
            let _ = Walk::new(&text).string();
        }
    }
}
