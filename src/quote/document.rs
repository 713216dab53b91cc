//! What a document costs to send: its text, pictures and pages as a chat request, priced as such.

use serde_json::json;

use super::asked;
use crate::api::Problem;
use crate::book::Book;

/// The endpoint that the request is written for; its bounds are those of any chat API.
const ENDPOINT: &str = "/v1/chat/completions";

/// A part of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text: bounded by its bytes.
    Text(&'a str),
    /// A picture: bounded by what the book says of the model's pictures.
    Image,
    /// A file such as a PDF: bounded by what the book says of the model's files.
    File,
}

/// The request that sends the parts to a model. Where no length is given, answers are as long as the
/// model lets them be.
pub fn body(model: &str, parts: &[Part<'_>], max_tokens: Option<u64>) -> String {
    let content: Vec<_> = parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => json!({ "type": "text", "text": text }),
            Part::Image => {
                json!({ "type": "image_url", "image_url": { "url": "data:image/png;base64," } })
            }
            Part::File => {
                json!({ "type": "file", "file": { "file_data": "data:application/pdf;base64," } })
            }
        })
        .collect();
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": content }] });
    if let (Some(most), Some(body)) = (max_tokens, body.as_object_mut()) {
        body.insert("max_tokens".into(), most.into());
    }
    body.to_string()
}

/// A quote for a document as JSON, or `{"error": {"code", "message"}}`.
pub fn quote_document(
    book: &Book,
    model: &str,
    parts: &[Part<'_>],
    max_tokens: Option<u64>,
) -> String {
    let body = body(model, parts, max_tokens);
    let answer = || -> Result<String, Problem> {
        let request = asked::request(ENDPOINT, "application/json", body.as_bytes())?;
        asked::price(&request, book, None, |_| None).map(|(_, quote)| asked::text(&quote))
    };
    answer().unwrap_or_else(|problem| asked::failed(&problem))
}
