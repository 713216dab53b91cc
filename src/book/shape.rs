//! Finds every place where a document differs from the published schema, `books/schema.json`.
//!
//! Only used once a book could not be read: reading stops at the first fault, this does not. It
//! knows the few keywords that schema uses.

use serde_json::{Map, Value};

use super::check::Faults;
use crate::clock::Timestamp;
use crate::money::Exact;

/// The price book's JSON Schema, for editors, and to find faults by.
pub const SCHEMA: &str = include_str!("../../books/schema.json");

/// Deepest nesting that is followed; the schema's own is 12.
const DEPTH_MAX: usize = 32;

/// Adds every fault of `document` against the schema.
pub(super) fn faults(document: &Value, faults: &mut Faults) {
    let Ok(schema) = serde_json::from_str::<Value>(SCHEMA) else { return };
    Walk { root: &schema, faults }.value(&schema, document, "", DEPTH_MAX);
}

struct Walk<'a> {
    root: &'a Value,
    faults: &'a mut Faults,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, at: &str, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            if let Some(schema) = self.root.pointer(target.trim_start_matches('#')) {
                let schema = schema.clone();
                self.value(&schema, value, at, depth);
            }
            return;
        }
        if let Some(either) = schema.get("anyOf").and_then(Value::as_array) {
            if !value.is_null()
                && let Some(schema) = either.first()
            {
                self.value(schema, value, at, depth);
            }
            return;
        }
        if !self.has_type(schema, value, at) {
            return;
        }
        self.text(schema, value, at);
        match value {
            Value::Object(fields) => self.object(schema, fields, at, depth),
            Value::Array(items) => {
                let Some(schema) = schema.get("items") else { return };
                for (nth, item) in items.iter().enumerate() {
                    self.value(schema, item, &format!("{at}[{nth}]"), depth);
                }
            }
            _ => {}
        }
    }

    fn has_type(&mut self, schema: &Value, value: &Value, at: &str) -> bool {
        let is = |name: &str| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_u64(),
            "null" => value.is_null(),
            _ => true,
        };
        let wanted: Vec<&str> = match schema.get("type") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => return true,
        };
        let fits = wanted.iter().any(|name| is(name));
        if !fits {
            let hint = if value.is_number() { "; numbers are written as strings" } else { "" };
            self.faults.add(at, format!("must be of type {}{hint}", wanted.join(" or ")));
        }
        fits
    }

    fn text(&mut self, schema: &Value, value: &Value, at: &str) {
        let Some(text) = value.as_str() else { return };
        if let Some(choices) = schema.get("enum").and_then(Value::as_array)
            && !choices.contains(value)
        {
            let names: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            self.faults.add(at, format!("{text:?} is none of {}", names.join(", ")));
        }
        match schema.get("format").and_then(Value::as_str) {
            Some("decimal") if text.parse::<Exact>().is_err() => self
                .faults
                .add(at, format!("{text:?} is not a plain decimal number of at most 28 digits")),
            Some("date-time") if text.parse::<Timestamp>().is_err() => self
                .faults
                .add(at, format!("{text:?} is not a time such as \"2026-11-23T22:00:00Z\"")),
            _ => {}
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, at: &str, depth: usize) {
        let inside =
            |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                self.faults.add(inside(name), "is missing");
            }
        }
        for (name, value) in fields {
            let known = schema.get("properties").and_then(|known| known.get(name));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => self.faults.add(inside(name), "is not a field of this"),
                Some(schema) => self.value(schema, value, &inside(name), depth),
                None => {}
            }
        }
    }
}
