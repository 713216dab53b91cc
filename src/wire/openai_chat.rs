//! OpenAI chat completions, and everything that copies its shape.
//!
//! Input includes what was cached; output includes reasoning. In a stream the last usage object
//! counts, never a sum of chunks.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::number::Count;
use super::scan::{has_key, has_text};
use super::usage::Meter;
use super::{Answer, Ending};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'a, str>>,
    #[serde(default)]
    usage: Option<Tokens>,
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    cache_write_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
    #[serde(default)]
    text_tokens: Count,
    #[serde(default)]
    image_tokens: Count,
}

#[derive(Deserialize)]
struct CompletionDetails {
    #[serde(default)]
    reasoning_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
    #[serde(default)]
    text_tokens: Count,
    #[serde(default)]
    accepted_prediction_tokens: Count,
    #[serde(default)]
    rejected_prediction_tokens: Count,
}

/// One streamed event.
pub(super) fn event(data: &[u8], answer: &mut Answer) {
    if data.trim_ascii() == b"[DONE]" {
        answer.end(Ending::Complete);
        return;
    }
    let text = |byte| byte == b'"';
    if has_text(data, b"\"content\"") || has_text(data, b"\"arguments\"") {
        answer.deltas = answer.deltas.saturating_add(1);
    }
    let telling = answer.model.is_none()
        || has_key(data, b"\"usage\"", |byte| byte == b'{')
        || has_key(data, b"\"finish_reason\"", text)
        || has_key(data, b"\"error\"", |byte| byte != b'n');
    if telling {
        whole(data, answer);
    }
}

/// A whole answer, or one event that carries something worth reading.
pub(super) fn whole(json: &[u8], answer: &mut Answer) {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(json) else { return };
    answer.set_model(body.model);
    if let Some(tier) = body.service_tier {
        answer.service_tier = Some(tier.into_owned());
    }
    if body.error.is_some() {
        answer.end(Ending::Error);
    }
    let finished = |choice: &Choice<'_>| choice.finish_reason.is_some();
    if body.choices.is_some_and(|choices| choices.iter().any(finished)) {
        answer.end(Ending::Complete);
    }
    if let Some(tokens) = body.usage {
        read(&tokens, answer);
    }
}

fn read(tokens: &Tokens, answer: &mut Answer) {
    if tokens.prompt_tokens.0.is_none() && tokens.completion_tokens.0.is_none() {
        return;
    }
    let usage = answer.reported();
    usage.report(Meter::InputTotal, tokens.prompt_tokens.0);
    usage.report(Meter::OutputTotal, tokens.completion_tokens.0);
    if let Some(details) = &tokens.prompt_tokens_details {
        usage.report(Meter::CacheRead, details.cached_tokens.0);
        usage.report(Meter::CacheWrite, details.cache_write_tokens.0);
        usage.report(Meter::AudioIn, details.audio_tokens.0);
        usage.report(Meter::TextIn, details.text_tokens.0);
        usage.report(Meter::ImageIn, details.image_tokens.0);
    }
    if let Some(details) = &tokens.completion_tokens_details {
        usage.report(Meter::Reasoning, details.reasoning_tokens.0);
        usage.report(Meter::AudioOut, details.audio_tokens.0);
        usage.report(Meter::TextOut, details.text_tokens.0);
        usage.report(Meter::AcceptedPrediction, details.accepted_prediction_tokens.0);
        usage.report(Meter::RejectedPrediction, details.rejected_prediction_tokens.0);
    }
}
