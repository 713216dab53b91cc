//! The plan files' JSON Schema. Test builds only: the result is kept in `books/plan-schema.json`, and a
//! test asks the reader about every field of it.

use serde_json::{Map, Value, json};

use super::{FORMAT, ITEMS_MAX, rules};
use crate::calendar::Every;
use crate::credits::Source;
use crate::money::Rounding;
use crate::rating::aggregate::Aggregation;

/// The whole schema, as it is published.
pub(super) fn schema() -> String {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Farebox plan",
        "description": "What a customer pays for a period: fees, charges, allowances, grants, limits, \
            commitments and discounts. Ids name one thing each.",
        "$defs": { "Decimal": decimal(), "Charge": charge(), "Where": place() },
        "type": "object", "additionalProperties": false,
        "required": ["format", "plan", "version", "name", "currency"],
        "properties": {
            "format": { "const": FORMAT },
            "plan": text("Names the plan."),
            "version": text("Names this version of it."),
            "name": text("For people."),
            "source": { "type": "string", "description": "Where the figures were read. Not used." },
            "invented": { "type": "string", "description": "Which of them are made up. Not used." },
            "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217 code of every amount." },
            "period": one_of(&Every::NAMES, "The length of a period; a month where absent."),
            "rules": rules_of(),
            "fees": list("Due each period.", &["id", "amount"], &json!({
                "id": id(), "amount": number(),
                "once": flag("Due in the customer's first period only."),
                "prorated": flag("Due in part where the period is only partly active.") })),
            "charges": with(list("A meter and its price.", &["id", "meter"], &charges()), "oneOf", &json!([
                { "required": ["charge"], "properties": { "cells": false } },
                { "required": ["cells"], "properties": { "where": false, "charge": false, "cost": false } }])),
            "allowances": list("Usage that is included.", &["id", "meter", "quantity"], &json!({
                "id": id(), "meter": meter(), "where": of("Where"), "quantity": number() })),
            "credit": { "type": "object", "additionalProperties": false, "required": ["name"],
                "description": "The plan's own currency.",
                "properties": { "name": text("What it is called."),
                    "worth": described(&number(), "What one costs beyond the grants; absent: none is sold.") } },
            "grants": list("Credit that comes with the plan.", &["id", "amount", "source"], &json!({
                "id": id(), "amount": number(), "in_credits": flag("In the plan's credits, not in money."),
                "source": one_of(&Source::NAMES, "Paid for or given."),
                "priority": described(&number(), "A whole number; the lowest is used first."),
                "once": flag("Comes once and stays; else every period."),
                "expires_after_periods": described(&number(), "Of a grant that comes once."),
                "rollover_cap": described(&number(), "What is carried on to the next period at most."),
                "meters": texts("What it pays for; absent: all."), "models": texts("The same by model.") })),
            "limits": list("Most usage of a period.", &["id", "meter", "most", "hard"], &json!({
                "id": id(), "meter": meter(), "where": of("Where"), "most": number(),
                "hard": flag("Usage beyond it cannot have happened.") })),
            "commitments": list("Spend that was promised or paid ahead.", &["id", "amount", "kind"], &json!({
                "id": id(), "amount": number(), "kind": { "enum": ["minimum", "true_up", "prepaid"] },
                "on": texts("The charges that count; absent: all."),
                "overage_factor": described(&number(), "What spend beyond it is multiplied by; 1 or more.") })),
            "discounts": discounts(),
            "features": { "type": "object", "description": "What the plan lets its customers do. Shown, not priced.",
                "additionalProperties": { "type": ["string", "boolean"] } },
        }
    });
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

fn decimal() -> Value {
    json!({ "description": "A decimal number of at most 28 digits: in a string, or a JSON number, which \
                is read by its digits.",
            "type": ["string", "number"], "pattern": r"^-?[0-9]+(\.[0-9]+)?$" })
}

fn of(definition: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

fn number() -> Value {
    of("Decimal")
}

fn described(schema: &Value, description: &str) -> Value {
    let mut schema = schema.clone();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("description".into(), description.into());
    }
    schema
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn id() -> Value {
    text("Names it on lines and balances.")
}

fn meter() -> Value {
    text("`output_total` and the gate's other meters, `tokens`, `api_calls`, or one of your own.")
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn texts(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "maxItems": ITEMS_MAX, "description": description })
}

fn one_of<T>(names: &[(&str, T)], description: &str) -> Value {
    let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    json!({ "enum": names, "description": description })
}

fn place() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" },
            "description": "Dimensions and the values they must have; an absent dimension may have any." })
}

fn list(description: &str, required: &[&str], properties: &Value) -> Value {
    json!({ "type": "array", "maxItems": ITEMS_MAX, "description": description, "items": {
        "type": "object", "additionalProperties": false, "required": required, "properties": properties } })
}

fn rules_of() -> Value {
    let names = rules::names();
    let each = names.iter().map(|(rule, names)| ((*rule).to_owned(), json!({ "enum": names })));
    let mut properties: Map<String, Value> = each.collect();
    properties.insert("first_tier_fee_at_zero".into(), json!({ "type": "boolean" }));
    json!({ "type": "object", "additionalProperties": false, "properties": properties,
            "description": "The disputed rules, by a preset and then one by one." })
}

fn charges() -> Value {
    let hours = described(&number(), "0 to 1000 whole hours.");
    json!({
        "id": id(), "meter": meter(),
        "aggregation": one_of(&Aggregation::NAMES, "What events make up; a sum where absent."),
        "each": texts("Priced apart for every value of these dimensions."),
        "in_credits": flag("Priced in the plan's credits, not in money."),
        "outcome": { "type": "object", "additionalProperties": false,
            "required": ["pending_hours", "silence", "dispute_hours"],
            "description": "What is priced are outcomes, decided later.",
            "properties": { "pending_hours": hours, "silence": { "enum": ["confirmed", "reversed"] },
                "dispute_hours": hours } },
        "where": of("Where"), "charge": of("Charge"),
        "cost": described(&of("Charge"), "What the same usage costs the operator."),
        "cells": list("Prices by dimensions, in the place of one `charge`: the one with the most that match.",
            &["charge"], &json!({ "where": of("Where"), "charge": of("Charge"), "cost": of("Charge") })),
    })
}

fn discounts() -> Value {
    let list = list(
        "Less; one of `percent`, `amount` and `by`.",
        &["id"],
        &json!({
        "id": id(), "percent": number(), "amount": number(),
        "by": described(&of("Charge"), "What a charge makes of the spend: volume discounts."),
        "on": texts("The charges and fees it lowers; absent: all.") }),
    );
    let either = ["percent", "amount", "by"].map(|name| json!({ "required": [name] }));
    with(list, "oneOf", &json!(either))
}

/// A list whose items have one more keyword.
fn with(mut list: Value, keyword: &str, value: &Value) -> Value {
    if let Some(items) = list.pointer_mut("/items").and_then(Value::as_object_mut) {
        items.insert(keyword.into(), value.clone());
    }
    list
}

/// A charge: the model's own fields, and those that any charge may carry.
fn charge() -> Value {
    let tiers = |required: &[&str], properties: &Value| {
        json!({ "type": "array", "minItems": 1, "maxItems": 1000, "items": {
            "type": "object", "additionalProperties": false, "required": required, "properties": properties } })
    };
    let end = json!({ "anyOf": [number(), { "type": "null" }], "description": "Inclusive; null for no end." });
    let priced =
        |price: &str| tiers(&[], &json!({ "up_to": end, price: number(), "flat_fee": number() }));
    let blocks = tiers(
        &["block_size", "price_per_block"],
        &json!({ "block_size": number(), "max_blocks": end, "price_per_block": number() }),
    );
    let n = number();
    let models = [
        ("flat", vec!["amount"], json!({ "amount": { "$ref": "#/$defs/Decimal" } })),
        ("per_unit", vec!["unit_price"], json!({ "unit_price": n, "unit_price_is_per": n })),
        ("graduated", vec!["tiers"], json!({ "tiers": priced("unit_price") })),
        ("volume", vec!["tiers"], json!({ "tiers": priced("unit_price") })),
        (
            "package",
            vec!["package_size", "price_per_package"],
            json!({ "package_size": n, "price_per_package": n, "package_rounding": { "enum": ["up", "down"] } }),
        ),
        (
            "percentage",
            vec!["rate_percent"],
            json!({ "rate_percent": n, "fixed_fee_per_paid_event": n, "free_events": n,
            "free_amount_total": n, "per_event_min": n, "per_event_max": n }),
        ),
        ("graduated_percentage", vec!["tiers"], json!({ "tiers": priced("rate_percent") })),
        ("graduated_package", vec!["tiers"], json!({ "tiers": blocks })),
        ("volume_package", vec!["tiers"], json!({ "tiers": blocks })),
        ("cost_plus", vec!["multiplier"], json!({ "multiplier": n, "add": n })),
    ];
    let rounding: Vec<&str> = Rounding::NAMES.iter().map(|(name, _)| *name).collect();
    let around = json!({
        "divide_by": n, "quantity_rounding": { "enum": rounding }, "quantity_multiple": n, "free_units": n,
        "minimum_amount": n, "maximum_amount": n, "first_tier_flat_fee_at_zero_usage": { "type": "boolean" },
        "round_to": n, "rounding": { "enum": rounding } });
    let each = models.into_iter().map(|(model, own, mut properties)| {
        let required: Vec<&str> = core::iter::once("model").chain(own).collect();
        if let (Some(fields), Some(around)) = (properties.as_object_mut(), around.as_object()) {
            fields.insert("model".into(), json!({ "const": model }));
            fields.extend(around.clone());
        }
        json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
    });
    json!({ "description": "A price model; docs/pricing.md tells what each does.", "oneOf": each.collect::<Vec<_>>() })
}
