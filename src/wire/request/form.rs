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

/// A form's plain fields, and the length of each file in it.
pub(super) struct Form<'a> {
    pub fields: Json<'a>,
    pub files: Vec<u64>,
}

/// The boundary in a content type of `multipart/form-data`.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = rest.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=70).contains(&value.len()).then_some(value)
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
            if rest.starts_with(b"--") {
                return Ok(form);
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
        let headers = String::from_utf8_lossy(headers);
        let disposition = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
        });
        let Some(name) = disposition.and_then(|text| parameter(text, "name")) else {
            return bad(None, "A part of the multipart body has no name.");
        };
        let is_file = disposition.is_some_and(|text| parameter(text, "filename").is_some());
        if is_file || value.len() > VALUE_MAX {
            self.files.push(u64::try_from(value.len()).unwrap_or(u64::MAX));
            return Ok(());
        }
        let Ok(text) = core::str::from_utf8(value) else {
            return bad(None, "A field of the multipart body is not UTF-8.");
        };
        let Json::Object(fields) = &mut self.fields else { return Ok(()) };
        // `name[]` may stand several times: it is a list, and none of those decides a price.
        if fields.iter().any(|(other, _)| *other == name) && !name.ends_with("[]") {
            return bad(None, "A field of the multipart body is given twice.");
        }
        fields.push((Cow::Owned(name.to_owned()), plain(text)));
        Ok(())
    }
}

/// `name="value"` or `name=value` among a header's parameters.
fn parameter<'h>(header: &'h str, wanted: &str) -> Option<&'h str> {
    header.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().trim_matches('"'))
    })
}

/// A form's value as the JSON value it stands for.
fn plain(text: &str) -> Json<'_> {
    match text {
        "true" => Json::Bool(true),
        "false" => Json::Bool(false),
        _ => text.parse().map_or(Json::Text(Cow::Borrowed(text)), Json::Whole),
    }
}
