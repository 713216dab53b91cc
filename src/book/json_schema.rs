//! The JSON Schema of types whose JSON is not what their fields say. Test builds only: the result
//! is kept in `books/schema.json`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::rates::{Caps, Rates, Tiers};
use super::schema::Document;
use crate::clock::Timestamp;
use crate::money::Exact;
use crate::wire::usage::Meter;

/// The whole schema, as it is published.
pub(super) fn schema() -> String {
    let mut schema = schemars::schema_for!(Document);
    schema.insert("title".to_owned(), "Farebox price book".into());
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

impl JsonSchema for Exact {
    fn schema_name() -> Cow<'static, str> {
        "Decimal".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A plain decimal number of at most 28 digits, in a string.",
            "type": "string", "format": "decimal", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"
        })
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "RFC 3339.", "type": "string", "format": "date-time" })
    }
}

impl JsonSchema for Rates {
    fn schema_name() -> Cow<'static, str> {
        "Rates".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let decimal = generator.subschema_for::<Exact>();
        let rate = |meter: &Meter| {
            let unit = meter.unit();
            let schema = serde_json::json!({
                "description": format!("`amount` buys `per` units of one {unit}."),
                "type": "object", "additionalProperties": false, "required": ["amount", "per"],
                "properties": { "amount": decimal, "per": decimal,
                                "unit": { "type": "string", "enum": [unit] } }
            });
            (meter.as_str().to_owned(), schema)
        };
        let meters: serde_json::Map<_, _> = Meter::ALL.iter().map(rate).collect();
        json_schema!({
            "description": "Rates by meter.",
            "type": "object", "additionalProperties": false, "properties": meters
        })
    }
}

impl JsonSchema for Caps {
    fn schema_name() -> Cow<'static, str> {
        "Caps".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let decimal = generator.subschema_for::<Exact>().to_value();
        let meters: serde_json::Map<_, _> =
            Meter::ALL.iter().map(|meter| (meter.as_str().to_owned(), decimal.clone())).collect();
        json_schema!({
            "description": "Quantities by meter, each in the meter's unit.",
            "type": "object", "additionalProperties": false, "properties": meters
        })
    }
}

impl JsonSchema for Tiers {
    fn schema_name() -> Cow<'static, str> {
        "Tiers".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rates = generator.subschema_for::<Rates>();
        json_schema!({
            "description": "Rates by service tier: batch, flex, priority.",
            "type": "object", "additionalProperties": rates
        })
    }
}
