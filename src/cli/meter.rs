//! `farebox meter`: what did recorded answers use?

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Failure;
use super::lines::{self, LineError};
use crate::meter::{End, Framing, Metering, Reading};
use crate::tokens::TEXT_MAX;
use crate::wire::read::SubUsage;
use crate::wire::usage::{Meter, Provenance, Usage};

/// Reads answers, one JSON object a line:
/// {"id", "provider"?, "endpoint"?, "stream", "transport", "status", "response_headers"?, "request"?,
/// "body", "body_encoding"?}. Which API it is shows in the answer itself.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lines: lines::Args,
    /// Also give what was counted here where the upstream reported less (lower bounds): the text's
    /// tokens, or events and words where there is no text.
    #[arg(long)]
    count: bool,
}

#[derive(Deserialize)]
struct Input<'a> {
    id: Value,
    #[serde(borrow, default)]
    provider: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    transport: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    response_headers: Option<Map<String, Value>>,
    #[serde(default)]
    request: Option<Value>,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    body_encoding: Option<Cow<'a, str>>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    lines::each(&args.lines, |line| {
        let input: Input<'_> = serde_json::from_str(line)
            .map_err(|error| LineError::new("invalid_input", error.to_string()))?;
        let reading = read(&input, args.count)?;
        Ok(output(&input.id, &reading, args.count))
    })
}

fn read(input: &Input<'_>, count: bool) -> Result<Reading, LineError> {
    let body = input.body.as_deref().unwrap_or_default();
    let bytes = match input.body_encoding.as_deref() {
        None => Cow::Borrowed(body.as_bytes()),
        Some("base64") => Cow::Owned(
            BASE64
                .decode(body.as_bytes())
                .map_err(|error| LineError::new("invalid_input", format!("body: {error}")))?,
        ),
        Some(other) => {
            let message = format!("body_encoding {other:?} is not known; use \"base64\"");
            return Err(LineError::new("invalid_input", message));
        }
    };
    let mut metering = metering(input)?.with_headers(headers(input));
    if let Some(characters) = input.request.as_ref().and_then(characters) {
        metering = metering.with_characters(characters);
    }
    if let Some(tokens) = input.request.as_ref().and_then(max_output) {
        metering = metering.with_max_output(tokens);
    }
    if let Some(provider) = &input.provider {
        metering = metering.with_provider(provider);
    }
    if count {
        metering = metering.with_texts(TEXT_MAX);
    }
    metering.chunk(&bytes);
    let mut reading = metering.end(End::Eof);
    let model = input.request.as_ref().and_then(|request| request.get("model")?.as_str());
    reading.count(model);
    Ok(reading)
}

fn metering(input: &Input<'_>) -> Result<Metering, LineError> {
    let status = input.status.unwrap_or(200);
    let framing = match (input.transport.as_deref(), input.stream.unwrap_or(false)) {
        (Some("ws-text-frames"), _) => return Ok(Metering::session(status)),
        (Some("sse"), _) | (None, true) => Framing::Sse,
        (Some("json" | "json-array"), _) | (None, false) => Framing::Json,
        (Some("ndjson"), _) => Framing::Lines,
        (Some("aws-eventstream"), _) => Framing::EventStream,
        (Some("binary"), _) => Framing::Binary,
        (Some(other), _) => {
            let message = format!("transport {other:?} is not read by this version");
            return Err(LineError::new("transport_not_supported", message));
        }
    };
    Ok(Metering::new(framing, status))
}

/// Headers as text; of one given several times, the first.
fn headers(input: &Input<'_>) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => items.first().and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let headers = input.response_headers.iter().flatten();
    headers.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// How many characters a request for speech asks to be spoken.
fn characters(request: &Value) -> Option<u64> {
    let text = ["/input", "/text", "/input/text"].iter();
    let text = text.filter_map(|pointer| request.pointer(pointer)).find_map(Value::as_str)?;
    u64::try_from(text.chars().count()).ok()
}

/// The most output tokens that a request allows.
fn max_output(request: &Value) -> Option<u64> {
    let keys = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
    let tokens = keys.iter().find_map(|key| request.get(key)?.as_u64())?;
    Some(tokens.saturating_mul(request.get("n").and_then(Value::as_u64).unwrap_or(1)))
}

fn output(id: &Value, reading: &Reading, count: bool) -> Value {
    let (usage, provenance) = shown(if count { &reading.usage } else { &reading.reported }, count);
    let mut answer = json!({
        "id": id, "usage": usage, "provenance": provenance, "usage_present": reading.usage_present,
        "final": reading.is_final, "outcome": reading.outcome,
    });
    if let Some(answer) = answer.as_object_mut() {
        for (name, value) in [("model", &reading.model), ("service_tier", &reading.service_tier)] {
            if let Some(value) = value {
                answer.insert(name.into(), value.as_str().into());
            }
        }
        if let Some(cost) = reading.provider_cost_usd {
            answer.insert("provider_cost_usd".into(), json!(cost));
        }
        if !reading.sub_usage.is_empty() {
            answer.insert("sub_usage".into(), reading.sub_usage.iter().map(sub).collect());
        }
        if reading.suspect {
            answer.insert("suspect".into(), true.into());
        }
        if !reading.unknown.is_empty() {
            let unknown = reading.unknown.iter();
            let unknown: Map<String, Value> =
                unknown.map(|known| (known.path.clone(), json!(known.quantity))).collect();
            answer.insert("unknown".into(), unknown.into());
        }
    }
    answer
}

/// Meters and their provenance. What was counted here is shown where it is what is billed, and the
/// rest (lower bounds, tool calls seen) on demand.
fn shown(usage: &Usage, count: bool) -> (Map<String, Value>, Map<String, Value>) {
    let (mut quantities, mut provenance) = (Map::new(), Map::new());
    for (meter, measured) in usage.iter() {
        let told = measured.provenance == Provenance::Reported
            || matches!(meter, Meter::Requests | Meter::Turns | Meter::Images | Meter::Characters);
        if told || count {
            quantities.insert(meter.as_str().into(), json!(measured.quantity));
            provenance.insert(meter.as_str().into(), json!(measured.provenance));
        }
    }
    (quantities, provenance)
}

fn sub(sub: &SubUsage) -> Value {
    let mut shown = json!({ "kind": sub.kind, "usage": shown(&sub.usage, true).0 });
    if let Some(shown) = shown.as_object_mut() {
        if let Some(model) = &sub.model {
            shown.insert("model".into(), model.as_str().into());
        }
        if sub.included {
            shown.insert("included".into(), true.into());
        }
    }
    shown
}
