//! Values of a row and of a statement, the same in a ledger's own storage and in D1.

use wasm_bindgen::JsValue;

use super::sql::Failed;
use crate::clock::Timestamp;

/// A text.
pub fn text(value: &JsValue) -> Result<String, Failed> {
    value.as_string().ok_or_else(|| "a column that should be text is not".to_owned())
}

/// A whole number; the platform hands integers over as floating point, exact below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn whole(value: &JsValue) -> Result<u64, Failed> {
    let number = value.as_f64().filter(|number| *number >= 0.0 && *number < 9e15);
    number
        .map(|number| number as u64)
        .ok_or_else(|| "a column that should count does not".to_owned())
}

/// A whole number, as the platform takes it.
#[allow(clippy::cast_precision_loss)] // lengths, counts and milliseconds stay below 2^53
pub fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

/// A moment, kept in milliseconds.
pub fn time(value: &JsValue) -> Result<Timestamp, Failed> {
    Ok(Timestamp::from_ms(i64::try_from(whole(value)?).map_err(|error| error.to_string())?))
}

/// A moment, as it is kept.
pub fn millis(time: Timestamp) -> JsValue {
    number(u64::try_from(time.ms()).unwrap_or(0))
}
