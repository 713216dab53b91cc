//! `farebox meter`: what did recorded answers use?

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Failure;
use super::lines::{self, LineError};
use crate::meter::{End, Framing, Metering, Reading};
use crate::wire::Family;
use crate::wire::usage::{Meter, Provenance};

/// Reads answers, one JSON object a line:
/// {"id", "provider"?, "endpoint"?, "stream", "transport", "status", "body", "body_encoding"?}.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lines: lines::Args,
    /// Also give what was counted here where the upstream reported less (lower bounds).
    #[arg(long)]
    count: bool,
}

#[derive(Deserialize)]
struct Input<'a> {
    id: Value,
    #[serde(borrow, default)]
    endpoint: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    transport: Option<Cow<'a, str>>,
    #[serde(default)]
    stream: bool,
    #[serde(default = "ok")]
    status: u16,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow, default)]
    body_encoding: Option<Cow<'a, str>>,
}

fn ok() -> u16 {
    200
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    lines::each(&args.lines, |line| {
        let input: Input<'_> = serde_json::from_str(line)
            .map_err(|error| LineError::new("invalid_input", error.to_string()))?;
        let reading = read(&input)?;
        Ok(output(&input.id, &reading, args.count))
    })
}

fn read(input: &Input<'_>) -> Result<Reading, LineError> {
    let by_flag = if input.stream { "sse" } else { "json" };
    let framing = match input.transport.as_deref().unwrap_or(by_flag) {
        "sse" => Framing::Sse,
        "json" => Framing::Json,
        other => {
            let message = format!("transport {other:?} is not read by this version");
            return Err(LineError::new("transport_not_supported", message));
        }
    };
    let bytes = match input.body_encoding.as_deref() {
        None => Cow::Borrowed(input.body.as_bytes()),
        Some("base64") => Cow::Owned(
            BASE64
                .decode(input.body.as_bytes())
                .map_err(|error| LineError::new("invalid_input", format!("body: {error}")))?,
        ),
        Some(other) => {
            let message = format!("body_encoding {other:?} is not known; use \"base64\"");
            return Err(LineError::new("invalid_input", message));
        }
    };
    let family = input.endpoint.as_deref().and_then(Family::of_path);
    let mut metering = Metering::new(framing, family, input.status);
    metering.chunk(&bytes);
    Ok(metering.end(End::Eof))
}

fn output(id: &Value, reading: &Reading, count: bool) -> Value {
    let mut usage = Map::new();
    let mut provenance = Map::new();
    for (meter, measured) in reading.usage.iter() {
        let counted = measured.provenance == Provenance::Counted && meter != Meter::Requests;
        if !counted || count {
            usage.insert(meter.as_str().into(), json!(measured.quantity));
            provenance.insert(meter.as_str().into(), json!(measured.provenance));
        }
    }
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
    }
    answer
}
