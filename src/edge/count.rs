//! What a model wrote and nobody reported: counted by a tokeniser that is loaded for it.

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

use super::js;
use crate::meter::Reading;

/// Counts an answer's text where no usage covers it. Where that fails, the bound by events and words
/// stands: a settlement waits for no tokeniser that does not come, and is never lost for one.
pub async fn count(reading: &mut Reading, requested: &str) {
    let Some((uncounted, encoding)) = reading.take_uncounted(Some(requested)) else { return };
    let texts: Array = uncounted.texts.iter().map(|text| JsValue::from_str(text)).collect();
    match JsFuture::from(js::count_tokens(encoding.vocabulary().name(), &texts)).await {
        Ok(tokens) => {
            // At most one a byte kept: far below 2^53.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let tokens = tokens.as_f64().unwrap_or_default() as u64;
            reading.counted(&uncounted, encoding, tokens);
        }
        Err(error) => js::log(&format!("text not counted: {}", js::reason(&error))),
    }
}
