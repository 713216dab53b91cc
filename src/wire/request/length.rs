//! The field that bounds an answer's length: read and set in a body whose every other byte stays.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::shape::Shape;
use crate::wire::route::Endpoint;

/// Where the APIs keep the tokens that a model may think, which the length has to exceed.
const THINKING: [&str; 9] = [
    "thinking.budget_tokens",
    "thinking.token_budget",
    "reasoning.max_tokens",
    "additionalModelRequestFields.thinking.budget_tokens",
    "generationConfig.thinkingConfig.thinkingBudget",
    "generationConfig.thinking_config.thinking_budget",
    "generation_config.thinkingConfig.thinkingBudget",
    "generation_config.thinking_config.thinking_budget",
    "generationConfig.thinking_config.thinkingBudget",
];

/// Fewest tokens that an API takes as a length.
pub fn least_length(endpoint: Endpoint) -> u64 {
    if endpoint == Endpoint::Responses { 16 } else { 1 }
}

/// The thinking budget that a request sets; zero where it sets none. A length has to be larger.
///
/// ```
/// use farebox::wire::request::thinking_budget;
/// assert_eq!(thinking_budget(br#"{"thinking":{"type":"enabled","budget_tokens":1024}}"#), 1024);
/// assert_eq!(thinking_budget(b"{}"), 0);
/// ```
pub fn thinking_budget(body: &[u8]) -> u64 {
    let Ok(text) = core::str::from_utf8(body) else { return 0 };
    let budgets = THINKING.iter().filter_map(|path| at(text, path)?.parse().ok());
    budgets.max().unwrap_or(0)
}

/// The body with its answers bounded to `tokens` each: in every field there is for it, or in a new
/// one. `newer`: this upstream knows chat's `max_completion_tokens`. `None` where the body is not
/// JSON, or nobody knows the field that its model heeds.
///
/// The caller has read the body already, so it is one JSON object without duplicate keys.
///
/// ```
/// use farebox::wire::{request::with_length, route::Endpoint};
/// let body = br#"{"model":"m", "max_tokens" : 900}"#;
/// let set = with_length(body, Endpoint::Chat, 7, true).unwrap();
/// assert_eq!(set, br#"{"model":"m", "max_tokens" : 7}"#);
/// ```
pub fn with_length(body: &[u8], endpoint: Endpoint, tokens: u64, newer: bool) -> Option<Vec<u8>> {
    let mut text = core::str::from_utf8(body).ok()?.to_owned();
    let shape = Shape::of(endpoint);
    let there = |text: &str, field: &str| at(text, field).is_some_and(|value| value != "null");
    let mut fields: Vec<&str> =
        shape.max_output.iter().copied().filter(|field| there(&text, field)).collect();
    let own = own_field(endpoint, newer);
    // Where only the newer name is given, and the upstream may pass over it, the older one counts.
    let passed_over = fields == ["max_completion_tokens"] && !newer;
    if fields.is_empty() || passed_over {
        fields.push(own?);
    }
    for field in fields {
        text = set(&text, field, tokens)?;
    }
    Some(text.into_bytes())
}

/// The field to put in where none is there. A native body's depends on its model.
fn own_field(endpoint: Endpoint, newer: bool) -> Option<&'static str> {
    Some(match endpoint {
        Endpoint::Chat if newer => "max_completion_tokens",
        Endpoint::Chat | Endpoint::Completions | Endpoint::Messages | Endpoint::CohereChat => {
            "max_tokens"
        }
        Endpoint::Responses => "max_output_tokens",
        Endpoint::Generate => "generationConfig.maxOutputTokens",
        Endpoint::Converse => "inferenceConfig.maxTokens",
        Endpoint::Ollama => "options.num_predict",
        _ => return None,
    })
}

/// An object's values as they are written, by their names.
fn fields(object: &str) -> Option<BTreeMap<String, &str>> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    Some(fields.into_iter().map(|(name, value)| (name, value.get())).collect())
}

/// The value at a path of names joined by dots, as it is written.
fn at<'t>(text: &'t str, path: &str) -> Option<&'t str> {
    path.split('.').try_fold(text, |object, name| fields(object)?.get(name).copied())
}

/// Sets a value in an object, and the objects on the way to it.
fn set(object: &str, path: &str, tokens: u64) -> Option<String> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let fields = fields(object)?;
    let old = fields.get(name).copied();
    let new = match (rest, old) {
        (None, _) => tokens.to_string(),
        (Some(rest), Some(old)) if old != "null" => set(old, rest, tokens)?,
        (Some(rest), _) => set("{}", rest, tokens)?,
    };
    let Some(old) = old else {
        let inside = object.trim_start().strip_prefix('{')?;
        let comma = if fields.is_empty() { "" } else { "," };
        return Some(format!("{{\"{name}\":{new}{comma}{inside}"));
    };
    // `old` is a slice of `object`; its place is the difference of their starts.
    let start = (old.as_ptr() as usize).checked_sub(object.as_ptr() as usize)?;
    let end = start.checked_add(old.len())?;
    Some([object.get(..start)?, &new, object.get(end..)?].concat())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn edited(endpoint: Endpoint, newer: bool, body: &str) -> String {
        String::from_utf8(with_length(body.as_bytes(), endpoint, 42, newer).unwrap()).unwrap()
    }

    #[test]
    fn each_apis_own_field_is_lowered_in_place_and_put_in_where_it_is_absent() {
        for (endpoint, newer, body, want) in [
            (Endpoint::Chat, true, r#" {"a":[1] }"#, r#"{"max_completion_tokens":42,"a":[1] }"#),
            (Endpoint::Chat, false, r#"{"a":1}"#, r#"{"max_tokens":42,"a":1}"#),
            (
                Endpoint::Chat,
                true,
                r#"{"max_tokens":900,"x":{"max_tokens":9},"max_completion_tokens": 800}"#,
                r#"{"max_tokens":42,"x":{"max_tokens":9},"max_completion_tokens": 42}"#,
            ),
            (
                Endpoint::Chat,
                false,
                r#"{"max_completion_tokens":800}"#,
                r#"{"max_tokens":42,"max_completion_tokens":42}"#,
            ),
            (
                Endpoint::Chat,
                true,
                "{\"max\\u005ftokens\": null}",
                "{\"max_completion_tokens\":42,\"max\\u005ftokens\": null}",
            ),
            (
                Endpoint::Responses,
                true,
                r#"{"max_output_tokens" :1e3}"#,
                r#"{"max_output_tokens" :42}"#,
            ),
            (
                Endpoint::Messages,
                true,
                r#"{"max_tokens":7000,"é":"max_tokens"}"#,
                r#"{"max_tokens":42,"é":"max_tokens"}"#,
            ),
            (
                Endpoint::Generate,
                true,
                r#"{"contents":[],"generationConfig":{"temperature":1, "maxOutputTokens":99}}"#,
                r#"{"contents":[],"generationConfig":{"temperature":1, "maxOutputTokens":42}}"#,
            ),
            (
                Endpoint::Generate,
                true,
                r#"{"generation_config":{"max_output_tokens":99}}"#,
                r#"{"generation_config":{"max_output_tokens":42}}"#,
            ),
            (Endpoint::Generate, true, "{}", r#"{"generationConfig":{"maxOutputTokens":42}}"#),
            (
                Endpoint::Converse,
                true,
                r#"{"inferenceConfig": { }}"#,
                r#"{"inferenceConfig": {"maxTokens":42 }}"#,
            ),
            (Endpoint::Ollama, true, r#"{"options":null}"#, r#"{"options":{"num_predict":42}}"#),
            (Endpoint::Invoke, true, r#"{"max_gen_len":99}"#, r#"{"max_gen_len":42}"#),
        ] {
            assert_eq!(edited(endpoint, newer, body), want);
        }
    }

    #[test]
    fn what_has_no_field_known_here_is_left_alone() {
        assert_eq!(with_length(b"{}", Endpoint::Invoke, 1, true), None);
        assert_eq!(with_length(b"--form", Endpoint::Chat, 1, true), None);
        assert_eq!(with_length(br#"{"generationConfig":3}"#, Endpoint::Generate, 1, true), None);
    }

    #[test]
    fn the_largest_thinking_budget_of_any_api_is_found() {
        for (body, budget) in [
            (r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":512}}}"#, 512),
            (r#"{"generationConfig":{"thinkingConfig":{"thinkingBudget":-1}}}"#, 0),
            (r#"{"additionalModelRequestFields":{"thinking":{"budget_tokens":2048}}}"#, 2048),
            (r#"{"thinking":{"type":"disabled"},"reasoning":{"max_tokens":5}}"#, 5),
            ("[]", 0),
        ] {
            assert_eq!(thinking_budget(body.as_bytes()), budget, "{body}");
        }
    }
}
