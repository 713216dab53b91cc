//! Asks an OpenAI-shaped upstream for its usage where the client did not.

use super::BadRequest;
use super::bad;

fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de serde_json::value::RawValue>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// The body with `stream_options.include_usage` set to true; every other byte stays as it was.
///
/// The caller has parsed the body already, so it is one JSON object without duplicate keys. Where
/// the client sent `stream_options`, that object is rewritten; else the field is put first.
pub fn with_usage_asked(body: &[u8]) -> Result<Vec<u8>, BadRequest> {
    let Some(text) = core::str::from_utf8(body).ok().map(str::trim_start) else {
        return bad(None, "The request body is not UTF-8.");
    };
    let Some(inside) = text.strip_prefix('{') else {
        return bad(None, "The request body must be a JSON object.");
    };
    #[derive(serde::Deserialize)]
    struct Options<'a> {
        // Not an Option<&RawValue>: that reads `null` as absent, and the key would stand twice.
        #[serde(borrow, default, deserialize_with = "present")]
        stream_options: Option<&'a serde_json::value::RawValue>,
    }
    let options: Options<'_> = match serde_json::from_str(text) {
        Ok(options) => options,
        Err(error) => return bad(None, format!("The request body is not valid JSON: {error}.")),
    };
    let Some(sent) = options.stream_options.map(serde_json::value::RawValue::get) else {
        return Ok(format!(r#"{{"stream_options":{{"include_usage":true}},{inside}"#).into_bytes());
    };
    let mut fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(sent).unwrap_or_default();
    fields.insert("include_usage".into(), true.into());
    let asked = serde_json::Value::Object(fields).to_string();
    // `sent` is a slice of `text`; its place is the difference of their starts.
    let start = (sent.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let end = start.saturating_add(sent.len());
    let (before, after) = (text.get(..start).unwrap_or(""), text.get(end..).unwrap_or(""));
    Ok([before, &asked, after].concat().into_bytes())
}
