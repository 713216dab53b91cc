//! What the npm package exports: thin functions over the engine, JSON in and JSON out.

use wasm_bindgen::prelude::*;

use crate::book::Book;
use crate::quote::document::{Part, quote_document};
use crate::quote::{quote_json, quote_text};
use crate::replay;

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

/// A price book that is asked more than once: it is read on the way in, not at every question.
#[wasm_bindgen]
pub struct PriceBook(Book);

#[wasm_bindgen]
impl PriceBook {
    /// Opens a book that was checked before, such as the gate's own.
    #[wasm_bindgen(constructor)]
    pub fn new(book_json: &str) -> Result<PriceBook, String> {
        Book::open(book_json).map(Self).map_err(|error| error.to_string())
    }

    /// The same of a book's bytes, as `fetch` has them: they go in as they are, which a text does not.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(json: &[u8]) -> Result<PriceBook, String> {
        Self::new(core::str::from_utf8(json).map_err(|error| error.to_string())?)
    }

    /// As the function `quote`.
    pub fn quote(&self, request_json: &str) -> String {
        quote_json(&self.0, request_json)
    }

    /// What a text costs to send to a model, by the same rules as any request.
    #[wasm_bindgen(js_name = quoteDocument)]
    pub fn quote_document(&self, model: &str, text: &str, max_tokens: Option<u32>) -> String {
        quote_document(&self.0, model, &[Part::Text(text)], max_tokens.map(u64::from))
    }

    /// What a recorded attempt costs by this book: `record_json` is one line of an archive. Answers
    /// `{"old": {"amount", "lines"}, "new": …, "changes"}`; a side without a price is
    /// `{"error": {"code"}}`.
    pub fn reprice(&self, record_json: &str) -> String {
        replay::reprice_json(&self.0, record_json)
    }
}
