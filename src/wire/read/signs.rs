//! What kind of event it is, whether it ends the answer, and who served.

use super::answer::{Answer, Ending};
use super::each;
use super::paths::WRAPPERS;
use crate::wire::json::Node;

/// What kind of unit it is, as far as it matters to usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anthropic's opening event: its output count is a placeholder.
    MessageStart,
    /// Anthropic's cumulative counts.
    MessageDelta,
    /// The end of a turn of a Realtime session.
    TurnDone,
    /// A transcript inside a Realtime session: another model's usage.
    Transcribed,
    /// A session's running or final total.
    SessionTotal,
    /// A message of Gemini Live.
    Live,
    /// One line of a batch's results.
    BatchLine,
    /// Anything else.
    Other,
}

impl Kind {
    pub fn of(name: &[u8], root: &Node, session: bool) -> Self {
        match event_type(root) {
            "message_start" => return Self::MessageStart,
            "message_delta" => return Self::MessageDelta,
            "response.done" => return Self::TurnDone,
            "conversation.item.input_audio_transcription.completed" => return Self::Transcribed,
            "session.usage.updated" | "session.closed" | "Termination" | "Metadata" => {
                return Self::SessionTotal;
            }
            _ => {}
        }
        let has = |key| root.get(key).is_some();
        if name == b"message_start" {
            Self::MessageStart
        } else if name == b"message_delta" {
            Self::MessageDelta
        } else if has("setupComplete") || has("serverContent") || session && has("usageMetadata") {
            Self::Live
        } else if has("custom_id") && (has("response") || has("result"))
            || has("recordId")
            || root.at("response/usageMetadata").is_some() && (has("key") || has("request"))
        {
            Self::BatchLine
        } else {
            Self::Other
        }
    }
}

fn event_type(root: &Node) -> &str {
    root.text("type").or_else(|| root.text("event_type")).unwrap_or_default()
}

/// The answers in a unit: itself, then what it wraps.
fn answers(root: &Node) -> impl Iterator<Item = &Node> {
    wrapped(root).map(|(body, _)| body)
}

fn wrapped(root: &Node) -> impl Iterator<Item = (&Node, &'static str)> {
    let inner = WRAPPERS
        .iter()
        .filter_map(|path| root.at(path).filter(|body| body.is_object()).map(|body| (body, *path)));
    core::iter::once((root, "")).chain(inner)
}

/// The bodies in a unit that may carry usage, with their places.
pub(super) fn bodies(root: &Node) -> impl Iterator<Item = (&Node, &'static str)> {
    let bedrock = root.get("metadata").filter(|body| body.get("usage").is_some());
    wrapped(root).chain(bedrock.map(|body| (body, "metadata")))
}

/// How this unit ends the answer, if it does.
pub(super) fn ending(kind: Kind, root: &Node, whole: bool, session: bool) -> Option<Ending> {
    if kind == Kind::BatchLine {
        return Some(Ending::Complete); // an error is its line's alone
    }
    let cohere_broke_off = root.at("delta/error").is_some()
        || root.text("delta/finish_reason").is_some_and(|reason| reason.starts_with("ERROR"));
    let by_type = match event_type(root) {
        "message-end" if cohere_broke_off => Some(Ending::Error),
        "error" if session => return None, // a bad message from the client; the session goes on
        "error" | "response.failed" | "interaction.failed" => Some(Ending::Error),
        "response.incomplete" | "interaction.incomplete" => Some(Ending::Incomplete),
        "response.cancelled" | "interaction.cancelled" => Some(Ending::Cancelled),
        "response.completed"
        | "response.done"
        | "message_stop"
        | "message-end"
        | "stream-end"
        | "image_generation.completed"
        | "image_edit.completed"
        | "transcript.text.done"
        | "conversation.response.done"
        | "speech.audio.done"
        | "interaction.completed"
        | "interaction.complete"
        | "session.closed"
        | "Termination"
        | "Metadata"
        | "conversation.item.input_audio_transcription.completed" => Some(Ending::Complete),
        _ => None,
    };
    if by_type.is_some() {
        return by_type;
    }
    if kind == Kind::Live {
        return root.get("usageMetadata").map(|_| Ending::Complete);
    }
    answers(root).find_map(|body| ending_of_body(body, whole)).or_else(|| {
        let stopped = root.at("messageStop/stopReason").or(root.at("promptFeedback/blockReason"));
        let stopped = stopped.map(|_| Ending::ContentOver);
        root.at("metadata/usage").map(|_| Ending::Complete).or(stopped)
    })
}

fn ending_of_body(body: &Node, whole: bool) -> Option<Ending> {
    let failed = |node: &Node| match node {
        Node::Text(text) => !text.is_empty(),
        Node::Bool(failed) => *failed,
        Node::Number(_) => false,
        _ => true,
    };
    if body.get("error").is_some_and(failed) {
        return Some(Ending::Error);
    }
    let status = body.text("status").or_else(|| body.text("processing_status"));
    if whole && let Some(ending) = status.and_then(by_status) {
        return Some(ending);
    }
    let done = body.get("done") == Some(&Node::Bool(true));
    if whole && !done && body.text("name").is_some_and(|name| name.contains("/operations/")) {
        return Some(Ending::Incomplete);
    }
    let finished = ["stop_reason", "stopReason", "finish_reason", "details/finish_reason"];
    if done {
        return Some(Ending::Complete);
    }
    if finished.iter().any(|path| body.text(path).is_some()) {
        return Some(Ending::ContentOver);
    }
    let mut over = false;
    for path in [
        "choices/finish_reason",
        "candidates/finishReason",
        "candidates/finish_reason",
        "outputs/finish_reason",
        "results/completionReason",
    ] {
        each(body, path, &mut |node| {
            over |= match node {
                Node::Text(reason) => !reason.is_empty(),
                Node::Number(_) => true,
                _ => false,
            };
        });
    }
    over.then_some(Ending::ContentOver)
}

/// Whether a turn of a session is under way from here on.
pub(super) fn begins_turn(root: &Node, session: bool) -> bool {
    session && event_type(root) == "response.created"
}

/// A job's or a whole answer's status.
fn by_status(status: &str) -> Option<Ending> {
    Some(match status.to_ascii_lowercase().as_str() {
        "incomplete" | "queued" | "in_progress" | "processing" | "starting" | "pending"
        | "running" | "throttled" => Ending::Incomplete,
        "cancelled" | "canceled" => Ending::Cancelled,
        "failed" | "error" => Ending::Error,
        "completed" | "succeeded" => Ending::Complete,
        _ => return None,
    })
}

/// Notes the model and the tier that served.
pub(super) fn name(root: &Node, whole: bool, answer: &mut Answer) {
    for path in ["session/model", "model", "modelVersion", "model_version"] {
        answer.set_model(root.text(path));
    }
    tier(root, answer);
    for (body, path) in wrapped(root).skip(1) {
        if path == "data" && !whole {
            continue;
        }
        for key in ["model", "modelVersion", "model_version"] {
            answer.set_model(body.text(key));
        }
        tier(body, answer);
    }
}

fn tier(body: &Node, answer: &mut Answer) {
    let usage = ["usage", "usageMetadata", "usage_metadata"].iter().find_map(|key| body.get(key));
    let in_usage =
        |keys: &[&str]| usage.and_then(|usage| keys.iter().find_map(|key| usage.text(key)));
    let word = ["service_tier", "serviceTier/type", "serviceTier"]
        .iter()
        .find_map(|path| body.text(path))
        .or_else(|| in_usage(&["service_tier", "serviceTier", "trafficType", "traffic_type"]));
    if let Some(word) = word {
        answer.service_tier = Some(normal_tier(word));
    }
}

/// The tier in the words of a price book; a word that is not known stays as it is.
fn normal_tier(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let lower = lower.strip_prefix("service_tier_").unwrap_or(&lower);
    match lower {
        "default" | "standard" | "on_demand" | "standard_only" => "default",
        "batch" => "batch",
        "flex" | "on_demand_flex" => "flex",
        "priority" | "on_demand_priority" => "priority",
        other => other,
    }
    .to_owned()
}
