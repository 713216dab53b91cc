//! What the npm package exports: thin functions over the engine, JSON in and JSON out.

use wasm_bindgen::prelude::*;

use crate::quote::quote_text;

/// The package's version.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// What a request can cost. `book_json`: a price book; `request_json`: `{"endpoint", "body"}` with
/// the API request's body. Answers a quote, or `{"error": {"code", "message"}}`.
#[wasm_bindgen]
pub fn quote(book_json: &str, request_json: &str) -> String {
    quote_text(book_json, request_json)
}
