//! `multipart/form-data` read as far as a price depends on it: plain fields as values, files by
//! their length. The bytes that go on are the client's own.

use std::borrow::Cow;

use memchr::memmem;

use super::json::Json;
use super::{BadRequest, bad};

/// Parts of one form: more than any API has fields, and few enough to look through pair by pair.
const PARTS_MAX: usize = 64;
/// Longest value read as a field; longer ones are content.
const VALUE_MAX: usize = 64 * 1024;

/// A form's plain fields, and each file in it.
pub(super) struct Form<'a> {
    pub fields: Json<'a>,
    pub files: Vec<&'a [u8]>,
}

/// The boundary in a content type of `multipart/form-data`.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    // One boundary, of the letters that need no quoting rules to be read alike.
    let (name, value) = rest.trim().split_once('=')?;
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    let is_plain =
        value.bytes().all(|b| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b));
    let is_boundary = name.eq_ignore_ascii_case("boundary") && is_plain;
    (is_boundary && (1..=70).contains(&value.len())).then_some(value)
}

impl<'a> Form<'a> {
    pub(super) fn read(body: &'a [u8], boundary: &str) -> Result<Self, BadRequest> {
        let broken = "The multipart body cannot be read: its parts do not match its boundary.";
        let opening = format!("--{boundary}");
        let between = format!("\r\n--{boundary}");
        let Some(mut rest) = body.strip_prefix(opening.as_bytes()) else {
            return bad(None, broken);
        };
        let mut form = Self { fields: Json::Object(Vec::new()), files: Vec::new() };
        for _ in 0..=PARTS_MAX {
            if let Some(end) = rest.strip_prefix(b"--") {
                // What stands behind the end could be a form of its own to another parser.
                let is_end = end.iter().all(u8::is_ascii_whitespace);
                return if is_end { Ok(form) } else { bad(None, broken) };
            }
            let Some(part) = rest.strip_prefix(b"\r\n") else { return bad(None, broken) };
            let Some(end) = memmem::find(part, between.as_bytes()) else {
                return bad(None, broken);
            };
            let (part, after) = part.split_at_checked(end).unwrap_or((part, &[]));
            rest = after.get(between.len()..).unwrap_or_default();
            form.part(part)?;
        }
        bad(None, format!("The multipart body has more than {PARTS_MAX} parts."))
    }

    fn part(&mut self, part: &'a [u8]) -> Result<(), BadRequest> {
        let Some(at) = memmem::find(part, b"\r\n\r\n") else {
            return bad(None, "A part of the multipart body has no headers.");
        };
        let (headers, value) = part.split_at_checked(at).unwrap_or((part, &[]));
        let value = value.get(4..).unwrap_or_default();
        let Some((name, is_file)) = disposition(headers) else {
            return bad(None, "A part of the multipart body does not say its name in a plain way.");
        };
        if is_file {
            self.files.push(value);
            return Ok(());
        }
        if value.len() > VALUE_MAX {
            return bad(None, format!("A field of the multipart body is over {VALUE_MAX} bytes."));
        }
        let Ok(text) = core::str::from_utf8(value) else {
            return bad(None, "A field of the multipart body is not UTF-8.");
        };
        let Json::Object(fields) = &mut self.fields else { return Ok(()) };
        // `name[]` may stand several times: it is a list, and none of those decides a price.
        if fields.iter().any(|(other, _)| *other == name) && !name.ends_with("[]") {
            return bad(None, "A field of the multipart body is given twice.");
        }
        fields.push((Cow::Borrowed(name), plain(text)));
        Ok(())
    }
}

/// A part's name, and whether it is a file. Only the one form that every client writes is read:
/// `form-data; name="…"`, with `; filename="…"` for a file. Whatever two parsers could read
/// differently (another parameter, an escape, two dispositions) is refused.
fn disposition(headers: &[u8]) -> Option<(&str, bool)> {
    let headers = core::str::from_utf8(headers).ok()?;
    let mut found = headers.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then(|| value.trim())
    });
    let value = found.next()?;
    if found.next().is_some() || value.contains('\\') {
        return None;
    }
    let rest = value.strip_prefix("form-data; name=\"")?;
    let (name, rest) = rest.split_once('"')?;
    if rest.is_empty() {
        return Some((name, false));
    }
    let (_, end) = rest.strip_prefix("; filename=\"")?.split_once('"')?;
    end.is_empty().then_some((name, true))
}

/// A form's value as the JSON value it stands for.
fn plain(text: &str) -> Json<'_> {
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => text.parse().map_or(Json::Text(Cow::Borrowed(text)), Json::Whole),
    }
}
