//! What a request makes use of: what has to be bounded by the book, and what a record tells.

use super::json::Json;
use super::shape::Shape;
use crate::wire::route::Endpoint;

/// Features whose cost nothing in the request bounds.
pub(super) fn unbounded(json: &Json<'_>, shape: &Shape) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut add = |name| {
        if !found.contains(&name) {
            found.push(name);
        }
    };
    shape.unbounded.iter().filter(|(field, _)| json.is_on(field)).for_each(|(_, name)| add(*name));
    let is_text =
        |kind: &Json<'_>| kind.text().is_some_and(|kind| kind.eq_ignore_ascii_case("text"));
    for field in [
        "modalities",
        "generationConfig.responseModalities",
        "generationConfig.response_modalities",
        "generation_config.responseModalities",
        "generation_config.response_modalities",
    ] {
        if json.at(field).map_or(&[][..], Json::one_or_more).iter().any(|kind| !is_text(kind)) {
            add("audio_output");
        }
    }
    let tools = json.get("tools").into_iter().chain(json.at("toolConfig.tools"));
    if tools.flat_map(Json::one_or_more).any(is_run_by_provider) {
        add("server_tools");
    }
    found
}

/// A tool that the provider runs by itself: of a type that is neither OpenAI's function nor
/// Anthropic's custom, or, where tools have no type, of another key than the client's functions.
fn is_run_by_provider(tool: &Json<'_>) -> bool {
    if let Some(kind) = tool.get("type").and_then(Json::text) {
        return !matches!(kind, "function" | "custom");
    }
    let Json::Object(fields) = tool else { return false };
    let clients = [
        "functionDeclarations",
        "function_declarations",
        "toolSpec",
        "cachePoint",
        "name",
        "description",
        "input_schema",
        "parameter_definitions",
        "cache_control",
        "function",
        "strict",
        "parameters",
        "inputSchema",
    ];
    fields.iter().any(|(key, _)| !clients.contains(&key.as_ref()))
}

/// What is used, for the record.
pub(super) fn used(json: &Json<'_>, stream: bool) -> Vec<&'static str> {
    let mut used = Vec::new();
    for (name, fields) in [
        ("tools", &["tools", "functions", "toolConfig"][..]),
        (
            "structured_output",
            &["response_format", "output_format", "text.format", "generationConfig.responseSchema"],
        ),
        (
            "reasoning",
            &["thinking", "reasoning_effort", "reasoning", "generationConfig.thinkingConfig"],
        ),
    ] {
        if fields.iter().any(|field| json.at(field).is_some()) {
            used.push(name);
        }
    }
    if json.is_on("background") {
        used.push("background");
    }
    if stream {
        used.insert(0, "stream");
    }
    used
}

/// Whether the provider adds a prompt of its own, for tools or a form of answer.
pub(super) fn has_hidden_prompt(json: &Json<'_>) -> bool {
    [
        "tools",
        "functions",
        "response_format",
        "output_format",
        "output_config",
        "toolConfig",
        "text.format",
        "generationConfig.responseSchema",
        "generationConfig.responseJsonSchema",
    ]
    .iter()
    .any(|field| json.at(field).is_some())
}

/// Whether the endpoint is free by its provider's documents: only counted.
pub(super) fn is_free(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::CountTokens | Endpoint::Moderations)
}
