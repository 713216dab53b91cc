//! What a tokeniser module exports: one Wasm module for each vocabulary, loaded when first needed.
//! Strings come in as UTF-8; a JavaScript string's lone surrogates are replaced on the way.

use wasm_bindgen::prelude::*;

use super::{Tokeniser, Vocabulary};

#[cfg(feature = "o200k")]
const VOCABULARY: Vocabulary = Vocabulary::O200kBase;
#[cfg(feature = "cl100k")]
const VOCABULARY: Vocabulary = Vocabulary::Cl100kBase;

/// The vocabulary's name, as the reference implementation has it.
#[wasm_bindgen]
pub fn vocabulary() -> String {
    VOCABULARY.name().to_owned()
}

/// How many tokens a text is; undefined for one of more than a mebibyte, which is not counted.
#[wasm_bindgen]
pub fn count(text: &str) -> Option<u32> {
    count_till(text, u32::MAX)
}

/// The same; undefined, and sooner, where it is above the limit.
#[wasm_bindgen(js_name = countTill)]
pub fn count_till(text: &str, limit: u32) -> Option<u32> {
    let count = Tokeniser::of(VOCABULARY)?.count_till(text, limit.into());
    if count.exact { u32::try_from(count.at_least).ok() } else { None }
}

/// Counts a text that arrives in parts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Counter(super::Counter);

#[wasm_bindgen]
impl Counter {
    /// Begins a text.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Self, JsError> {
        let tokeniser =
            Tokeniser::of(VOCABULARY).ok_or_else(|| JsError::new("not in this build"))?;
        Ok(Self(super::Counter::new(tokeniser)))
    }

    /// Adds what the text goes on with.
    pub fn push(&mut self, text: &str) {
        self.0.push(text);
    }

    /// A lower bound of the text so far; it never falls.
    #[wasm_bindgen(js_name = soFar)]
    pub fn so_far(&self) -> u32 {
        u32::try_from(self.0.so_far()).unwrap_or(u32::MAX)
    }

    /// False once the text had a piece too long to keep: the count at the end is then a lower bound.
    pub fn exact(&self) -> bool {
        self.0.exact()
    }

    /// The text is over: its count. The counter is used up.
    pub fn end(self) -> u32 {
        u32::try_from(self.0.end().at_least).unwrap_or(u32::MAX)
    }
}
