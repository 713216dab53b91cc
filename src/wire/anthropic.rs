//! Anthropic Messages.
//!
//! `input_tokens` excludes both cache classes. In a stream `message_start` brings the input and
//! `message_delta` overlays cumulative counts: a null or missing field never erases.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::number::Count;
use super::usage::Meter;
use super::{Answer, Ending};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    usage: Option<Tokens<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    usage: Option<Tokens<'a>>,
    #[serde(default)]
    stop_reason: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    stop_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Tokens<'a> {
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation: Option<CacheCreation>,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    output_tokens_details: Option<OutputDetails>,
    #[serde(default)]
    server_tool_use: Option<ServerTools>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: Count,
    #[serde(default)]
    ephemeral_1h_input_tokens: Count,
}

#[derive(Deserialize)]
struct OutputDetails {
    #[serde(default)]
    thinking_tokens: Count,
}

#[derive(Deserialize)]
struct ServerTools {
    #[serde(default)]
    web_search_requests: Count,
    #[serde(default)]
    web_fetch_requests: Count,
}

/// One streamed event, by its name; most are deltas, which are counted and not parsed.
pub(super) fn event(name: &[u8], data: &[u8], answer: &mut Answer) {
    match name {
        b"content_block_delta" => answer.deltas = answer.deltas.saturating_add(1),
        b"content_block_start" | b"content_block_stop" | b"ping" => {}
        b"error" => answer.end(Ending::Error),
        b"message_stop" => answer.end(Ending::Complete),
        _ => parsed_event(data, answer),
    }
}

fn parsed_event(data: &[u8], answer: &mut Answer) {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return };
    match event.kind.as_ref() {
        "message_start" => {
            if let Some(message) = event.message {
                answer.set_model(message.model);
                read(message.usage.as_ref(), answer);
            }
        }
        "message_delta" => {
            let stopped = event.delta.is_some_and(|delta| delta.stop_reason.is_some());
            if stopped {
                answer.end(Ending::Complete);
            }
            read(event.usage.as_ref(), answer);
        }
        "content_block_delta" => answer.deltas = answer.deltas.saturating_add(1),
        "message_stop" => answer.end(Ending::Complete),
        "error" => answer.end(Ending::Error),
        _ => {}
    }
}

/// A whole answer.
pub(super) fn whole(json: &[u8], answer: &mut Answer) {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(json) else { return };
    answer.set_model(message.model);
    if message.error.is_some() {
        answer.end(Ending::Error);
    } else if message.stop_reason.is_some() {
        answer.end(Ending::Complete);
    }
    read(message.usage.as_ref(), answer);
}

fn read(tokens: Option<&Tokens<'_>>, answer: &mut Answer) {
    let Some(tokens) = tokens else { return };
    if let Some(tier) = &tokens.service_tier {
        // Anthropic's word for the default tier.
        let tier = if tier == "standard" { "default" } else { tier.as_ref() };
        answer.service_tier = Some(tier.to_owned());
    }
    if tokens.input_tokens.0.is_none() && tokens.output_tokens.0.is_none() {
        return;
    }
    let usage = answer.reported();
    usage.report(Meter::InputUncached, tokens.input_tokens.0);
    usage.report(Meter::CacheRead, tokens.cache_read_input_tokens.0);
    usage.report(Meter::CacheWrite, tokens.cache_creation_input_tokens.0);
    usage.report(Meter::OutputTotal, tokens.output_tokens.0);
    if let Some(written) = &tokens.cache_creation {
        usage.report(Meter::CacheWrite5m, written.ephemeral_5m_input_tokens.0);
        usage.report(Meter::CacheWrite1h, written.ephemeral_1h_input_tokens.0);
    }
    if let Some(details) = &tokens.output_tokens_details {
        usage.report(Meter::Reasoning, details.thinking_tokens.0);
    }
    if let Some(tools) = &tokens.server_tool_use {
        usage.report(Meter::WebSearchRequests, tools.web_search_requests.0);
        usage.report(Meter::WebFetchRequests, tools.web_fetch_requests.0);
    }
}
