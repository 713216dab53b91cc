//! Input that is not in the request: read from a bucket, with the rights of the upstream's account,
//! which are the operator's and not the client's.

use super::json::Json;

/// How such a place is written.
const SCHEMES: [&str; 3] = ["gs://", "s3://", "https://generativelanguage.googleapis.com/"];

/// Fields of prose: what is written there is read by the model, and by no one as a place.
const PROSE: [&str; 17] = [
    "text",
    "content",
    "prompt",
    "input",
    "inputText",
    "texts",
    "system",
    "instructions",
    "arguments",
    "thinking",
    "query",
    "documents",
    "description",
    "output",
    "message",
    "preamble",
    "suffix",
];

/// Whether some value, in whatever field but one of prose, is such a place.
pub(super) fn is_in(json: &Json<'_>) -> bool {
    found(json, false)
}

fn found(value: &Json<'_>, prose: bool) -> bool {
    match value {
        Json::Text(text) => !prose && is_place(text),
        Json::List(items) => items.iter().any(|item| found(item, prose)),
        Json::Object(fields) => {
            fields.iter().any(|(name, value)| found(value, PROSE.contains(&name.as_ref())))
        }
        Json::Null | Json::Bool(_) | Json::Whole(_) | Json::Number => false,
    }
}

fn is_place(text: &str) -> bool {
    let text =
        text.trim_start_matches(|letter: char| letter.is_whitespace() || letter.is_control());
    let begins = |scheme: &&str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    SCHEMES.iter().any(begins)
}
