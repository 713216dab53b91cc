//! What kind of character each code point is, as far as the splitting rules care: one byte per
//! code point, in blocks of 128, of which most are equal and stored once (32 KiB in all).

/// One character's kind. `\s`, `\p{N}` … are the classes of the reference's patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No character: the text's end.
    End,
    /// Punctuation, symbols, controls, private use, unassigned.
    Other,
    /// Carriage return, line feed.
    Newline,
    /// Any other `\s`.
    Space,
    /// `\p{N}`.
    Number,
    /// `\p{Lu}`, `\p{Lt}`.
    Upper,
    /// `\p{Ll}`.
    Lower,
    /// `\p{Lm}`, `\p{Lo}`: letters without case.
    Letter,
    /// `\p{M}`: combining marks.
    Mark,
}

static INDEX: &[u8] = include_bytes!("data/classes/index.bin");
static BLOCKS: &[u8] = include_bytes!("data/classes/blocks.bin");

const ASCII: [Class; 128] = {
    let mut table = [Class::Other; 128];
    let mut left: &mut [Class] = &mut table;
    let mut code = 0_u8;
    while let Some((class, rest)) = left.split_first_mut() {
        *class = match code {
            b'\r' | b'\n' => Class::Newline,
            b' ' | b'\t' | 0x0B | 0x0C => Class::Space,
            b'0'..=b'9' => Class::Number,
            b'A'..=b'Z' => Class::Upper,
            b'a'..=b'z' => Class::Lower,
            _ => Class::Other,
        };
        code = code.wrapping_add(1);
        left = rest;
    }
    table
};

/// The character of valid UTF-8 that begins at a byte, and how many bytes it takes; none at the end.
#[inline]
pub fn at(text: &[u8], at: usize) -> (Class, usize) {
    let Some(&first) = text.get(at) else { return (Class::End, 0) };
    match ASCII.get(usize::from(first)) {
        Some(&class) => (class, 1),
        None => beyond_ascii(text, at, first),
    }
}

fn beyond_ascii(text: &[u8], at: usize, first: u8) -> (Class, usize) {
    let follow =
        |offset: usize| text.get(at.wrapping_add(offset)).map_or(0, |&byte| u32::from(byte & 0x3F));
    let first = u32::from(first);
    let (code, width) = match first {
        0..0xE0 => ((first & 0x1F) << 6 | follow(1), 2),
        0xE0..0xF0 => ((first & 0x0F) << 12 | follow(1) << 6 | follow(2), 3),
        _ => ((first & 0x07) << 18 | follow(1) << 12 | follow(2) << 6 | follow(3), 4),
    };
    (of_code(code), width)
}

fn of_code(code: u32) -> Class {
    let code = code as usize;
    let block = INDEX.get(code >> 7).map_or(0, |&block| usize::from(block));
    match BLOCKS.get(block << 7 | code & 0x7F) {
        Some(1) => Class::Newline,
        Some(2) => Class::Space,
        Some(3) => Class::Number,
        Some(4) => Class::Upper,
        Some(5) => Class::Lower,
        Some(6) => Class::Letter,
        Some(7) => Class::Mark,
        _ => Class::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ascii_table_and_the_blocks_agree() {
        for code in 0..0x80_u8 {
            assert_eq!(at(&[code], 0), (of_code(code.into()), 1), "{code:#x}");
        }
    }

    #[test]
    fn every_width_of_character_is_read_whole() {
        for (text, class) in [
            ("z", Class::Lower),
            ("É", Class::Upper),
            ("ǅ", Class::Upper),
            ("中", Class::Letter),
            ("ʰ", Class::Letter),
            ("\u{301}", Class::Mark),
            ("𒀀", Class::Letter),
            ("𝟘", Class::Number),
            ("Ⅷ", Class::Number),
            ("Ⓐ", Class::Other),
            ("🚍", Class::Other),
            ("\u{85}", Class::Space),
            ("\u{3000}", Class::Space),
            ("\u{10FFFF}", Class::Other),
        ] {
            assert_eq!(at(text.as_bytes(), 0), (class, text.len()), "{text}");
        }
        assert_eq!(at(b"", 0), (Class::End, 0));
    }

    #[test]
    fn no_character_is_missed_or_misread() {
        for c in char::MIN..=char::MAX {
            let (class, width) = at(c.encode_utf8(&mut [0; 4]).as_bytes(), 0);
            assert_eq!(width, c.len_utf8());
            assert_eq!(matches!(class, Class::Space | Class::Newline), c.is_whitespace(), "{c:?}");
        }
    }
}
