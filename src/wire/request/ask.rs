//! From a request body to the facts a price needs.

use std::collections::BTreeMap;

use super::json::Json;
use super::{BadRequest, bad};
use crate::tokens;
use crate::wire::Family;

/// What a request asks for, as far as its price is concerned. No content in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The API's shape.
    pub family: Family,
    /// The model as the client wrote it.
    pub model: String,
    /// The answer is to be streamed.
    pub stream: bool,
    /// OpenAI's `stream_options.include_usage`, where the client set it.
    pub include_usage: Option<bool>,
    /// Most output tokens per choice, where the client set it.
    pub max_output: Option<u64>,
    /// How many choices.
    pub choices: u64,
    /// The service tier asked for.
    pub service_tier: Option<String>,
    /// Fewest input tokens the text can be.
    pub input_least: u64,
    /// Most input tokens the text and its templates can be, without the parts below.
    pub input_most: u64,
    /// How many parts of other kinds than text there are: `image`, `audio`, `file`.
    pub parts: BTreeMap<&'static str, u64>,
    /// Features that cost money and that nothing here can bound.
    pub unbounded: Vec<&'static str>,
    /// Features used, for the record.
    pub features: Vec<&'static str>,
    /// The end user, where the client named one. Never recorded in clear.
    pub end_user: Option<String>,
}

/// Longest model name and end-user id kept.
const NAME_BYTES_MAX: usize = 256;

/// Reads a body strictly. The error's message is for the client.
pub fn inspect(family: Family, body: &[u8]) -> Result<Ask, BadRequest> {
    let json: Json<'_> = match serde_json::from_slice(body) {
        Ok(json) => json,
        Err(error) => return bad(None, format!("The request body is not valid JSON: {error}.")),
    };
    if !matches!(json, Json::Object(_)) {
        return bad(None, "The request body must be a JSON object.");
    }
    let mut tally = Tally::default();
    for field in ["messages", "system"] {
        if let Some(value) = json.get(field) {
            tally.content(value);
        }
    }
    let Some(Json::List(messages)) = json.get("messages") else {
        return bad("messages", "`messages` is required and must be a list.");
    };
    let declares = |field| json.get(field).is_some();
    let with_tools = ["tools", "functions", "response_format", "output_format", "output_config"];
    let tools = with_tools.into_iter().any(declares);
    let bytes = u64::try_from(body.len()).unwrap_or(u64::MAX).saturating_sub(tally.payload_bytes);
    let templates = u64::try_from(messages.len()).unwrap_or(u64::MAX).saturating_add(1);
    let input_most = bytes
        .saturating_mul(tokens::TOKENS_PER_BYTE_MAX)
        .saturating_add(templates.saturating_mul(tokens::PER_MESSAGE))
        .saturating_add(if tools { tokens::WITH_TOOLS } else { 0 });
    let stream = flag(&json, "stream")?.unwrap_or(false);
    Ok(Ask {
        family,
        model: model(&json)?,
        stream,
        include_usage: include_usage(&json)?,
        max_output: max_output(family, &json)?,
        choices: count(&json, "n")?.unwrap_or(1),
        service_tier: tier(&json)?,
        input_least: tally.least,
        input_most,
        parts: tally.parts,
        unbounded: unbounded(&json),
        features: features(&json, stream),
        end_user: end_user(family, &json),
    })
}

fn model(json: &Json<'_>) -> Result<String, BadRequest> {
    match json.get("model") {
        Some(Json::Text(name)) if (1..=NAME_BYTES_MAX).contains(&name.len()) => {
            if name.chars().any(char::is_control) {
                return bad("model", "`model` holds control characters.");
            }
            Ok(name.clone().into_owned())
        }
        Some(_) => bad("model", "`model` must be a string of 1 to 256 bytes."),
        None => bad("model", "`model` is required."),
    }
}

fn flag(json: &Json<'_>, field: &'static str) -> Result<Option<bool>, BadRequest> {
    match json.get(field) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(_) => bad(field, format!("`{field}` must be true or false.")),
    }
}

fn include_usage(json: &Json<'_>) -> Result<Option<bool>, BadRequest> {
    match json.get("stream_options") {
        None => Ok(None),
        Some(options @ Json::Object(_)) => flag(options, "include_usage"),
        Some(_) => bad("stream_options", "`stream_options` must be an object."),
    }
}

/// A whole number of at least one.
fn count(json: &Json<'_>, field: &'static str) -> Result<Option<u64>, BadRequest> {
    match json.get(field) {
        None => Ok(None),
        Some(Json::Whole(value)) if *value > 0 => Ok(Some(*value)),
        Some(_) => bad(field, format!("`{field}` must be a whole number of at least 1.")),
    }
}

fn max_output(family: Family, json: &Json<'_>) -> Result<Option<u64>, BadRequest> {
    let old = count(json, "max_tokens")?;
    match family {
        // With both set the API refuses or takes the newer; the larger is safe for either.
        Family::OpenAiChat => Ok(count(json, "max_completion_tokens")?.max(old)),
        Family::AnthropicMessages if old.is_none() => {
            bad("max_tokens", "`max_tokens` is required by the Messages API.")
        }
        Family::AnthropicMessages => Ok(old),
    }
}

fn tier(json: &Json<'_>) -> Result<Option<String>, BadRequest> {
    match json.get("service_tier") {
        None => Ok(None),
        Some(Json::Text(tier)) if tier.len() <= 32 => Ok(Some(tier.clone().into_owned())),
        Some(_) => bad("service_tier", "`service_tier` must be a short string."),
    }
}

fn end_user(family: Family, json: &Json<'_>) -> Option<String> {
    let named = match family {
        Family::OpenAiChat => json.get("safety_identifier").or_else(|| json.get("user")),
        Family::AnthropicMessages => json.get("metadata").and_then(|m| m.get("user_id")),
    };
    let text = named?.text()?;
    (1..=NAME_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// Features whose cost nothing in the request bounds.
fn unbounded(json: &Json<'_>) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (field, name) in [
        ("web_search_options", "web_search"),
        ("audio", "audio_output"),
        ("prediction", "prediction"),
        ("mcp_servers", "mcp"),
        ("container", "code_execution"),
        ("context_management", "context_management"),
        ("speed", "speed"),
    ] {
        if json.get(field).is_some() {
            found.push(name);
        }
    }
    let modalities = json.get("modalities").map_or(&[][..], Json::list);
    if modalities.iter().any(|kind| kind.text() != Some("text")) {
        found.push("audio_output");
    }
    // A tool whose type is neither OpenAI's function nor Anthropic's custom is run by the provider.
    let tools = json.get("tools").map_or(&[][..], Json::list);
    let client_side = ["function", "custom"];
    let kind = |tool: &Json<'_>| tool.get("type").and_then(Json::text).map(str::to_owned);
    if tools.iter().filter_map(kind).any(|kind| !client_side.contains(&kind.as_str())) {
        found.push("server_tools");
    }
    found
}

fn features(json: &Json<'_>, stream: bool) -> Vec<&'static str> {
    let mut used = Vec::new();
    let mut note = |used_it: bool, name| {
        if used_it {
            used.push(name);
        }
    };
    note(stream, "stream");
    note(json.get("tools").is_some() || json.get("functions").is_some(), "tools");
    note(json.get("response_format").is_some(), "structured_output");
    note(json.get("thinking").is_some() || json.get("reasoning_effort").is_some(), "reasoning");
    used
}

/// Adds up messages.
#[derive(Default)]
struct Tally {
    least: u64,
    parts: BTreeMap<&'static str, u64>,
    /// Bytes of pictures and sounds inside the body, which become tokens by another rule.
    payload_bytes: u64,
}

impl Tally {
    fn content(&mut self, value: &Json<'_>) {
        match value {
            Json::Text(text) => self.least = self.least.saturating_add(tokens::at_least(text)),
            Json::List(items) => items.iter().for_each(|item| self.content(item)),
            Json::Object(_) => self.object(value),
            Json::Null | Json::Bool(_) | Json::Whole(_) | Json::Number => {}
        }
    }

    fn object(&mut self, value: &Json<'_>) {
        let kind = match value.get("type").and_then(Json::text) {
            Some("image_url" | "image") => Some("image"),
            Some("input_audio" | "audio") => Some("audio"),
            Some("file" | "document" | "container_upload" | "video_url") => Some("file"),
            _ => None,
        };
        if let Some(kind) = kind {
            let entry = self.parts.entry(kind).or_default();
            *entry = entry.saturating_add(1);
            let mut payload = 0_u64;
            value.each_text(&mut |text| {
                payload = payload.saturating_add(u64::try_from(text.len()).unwrap_or(0));
            });
            self.payload_bytes = self.payload_bytes.saturating_add(payload);
            return;
        }
        for field in ["content", "text", "input", "arguments", "thinking"] {
            if let Some(inner) = value.get(field) {
                self.content(inner);
            }
        }
    }
}
