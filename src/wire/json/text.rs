//! The inside of a JSON string, unescaped.

/// Unescapes what stands between the quotes. What is not valid is replaced, never refused.
pub(crate) fn unescape(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escaped.chars();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => out.push(unit(&mut chars)),
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

/// One `\u` escape, or two that make a pair.
fn unit(rest: &mut core::str::Chars<'_>) -> char {
    let hex = |chars: &mut core::str::Chars<'_>| {
        let digits: String = chars.by_ref().take(4).collect();
        u32::from_str_radix(&digits, 16).unwrap_or(0xFFFD)
    };
    let first = hex(rest);
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first).unwrap_or('\u{FFFD}');
    }
    let mut ahead = rest.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return '\u{FFFD}';
    }
    let second = hex(&mut ahead);
    let Some(low) = second.checked_sub(0xDC00).filter(|low| *low < 0x400) else {
        return '\u{FFFD}';
    };
    *rest = ahead;
    let high = first.saturating_sub(0xD800) << 10;
    char::from_u32(0x1_0000_u32.saturating_add(high | low)).unwrap_or('\u{FFFD}')
}
