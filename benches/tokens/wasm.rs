//! Other engines as Wasm modules, one for each feature.

#[cfg(any(feature = "rs", feature = "goliajp"))]
use wasm_bindgen::prelude::wasm_bindgen;

/// How many tokens a text is in o200k_base.
#[cfg(feature = "rs")]
#[wasm_bindgen]
pub fn count(text: &str) -> u32 {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len() as u32
}

/// How many tokens a text is in o200k_base.
#[cfg(feature = "goliajp")]
#[wasm_bindgen]
pub fn count(text: &str) -> u32 {
    tiktoken::get_encoding("o200k_base").expect("built in").count(text) as u32
}
