//! Answers without a usage object: counting endpoints, embedders of Vertex, transcribers, jobs.

use super::answer::{Answer, Ending};
use super::counts::Counts;
use super::each;
use crate::money::Exact;
use crate::wire::json::Node;
use crate::wire::number::Quantity;
use crate::wire::usage::{Meter, Provenance};

pub(super) fn read(root: &Node, whole: bool, answer: &mut Answer) {
    if whole {
        counted(root, answer);
        predictions(root, answer);
        images(root, answer);
    } else if matches!(
        root.text("type"),
        Some("image_generation.completed" | "image_edit.completed")
    ) {
        answer.count(Meter::Images);
    }
    seconds(root, answer);
}

/// `count_tokens`, `countTokens`, `input_tokens`: a number at the root, and no usage. Free.
fn counted(root: &Node, answer: &mut Answer) {
    let vllm = root.get("count").filter(|_| root.get("max_model_len").is_some());
    let counted =
        ["input_tokens", "totalTokens", "inputTokens"].iter().find_map(|k| root.get(k)).or(vllm);
    if let Some(Quantity::Sound(tokens)) = counted.map(|node| Quantity::read(node, true)) {
        answer.usage.set(Meter::CountedTokens, tokens, Provenance::Reported);
    }
}

/// Vertex `:predict` counts each text it embeds.
fn predictions(root: &Node, answer: &mut Answer) {
    let mut counts = Counts::default();
    each(root, "predictions/embeddings/statistics/token_count", &mut |node| match Quantity::read(
        node, true,
    ) {
        Quantity::Sound(tokens) | Quantity::Mended(tokens) => {
            counts.add(Meter::InputTotal, tokens);
        }
        Quantity::Nonsense => counts.suspect = true,
    });
    answer.report(counts);
}

/// Images that come without usage are billed apiece.
fn images(root: &Node, answer: &mut Answer) {
    let keys = ["b64_json", "url", "bytesBase64Encoded"];
    let made = |item: &&Node| {
        matches!(item, Node::Text(_)) || keys.iter().any(|key| item.get(key).is_some())
    };
    let lists = [root.list("data"), root.list("images"), root.list("predictions")];
    let count = lists.iter().map(|items| items.iter().filter(made).count()).max();
    if let Some(count) =
        count.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0)
    {
        answer.usage.set(Meter::Images, Exact::from(count), Provenance::Counted);
    }
}

/// Seconds of media or computing, once they are final.
fn seconds(root: &Node, answer: &mut Answer) {
    let status = root.text("status");
    let done = matches!(answer.ending, Some(Ending::Complete));
    let ran = done || matches!(answer.ending, Some(Ending::Cancelled | Ending::Error));
    let mut counts = Counts::default();
    let mut take = |meter, path: &str| {
        if let Some(node) = root.at(path) {
            counts.put(meter, node);
        }
        !counts.is_empty()
    };
    // Replicate also bills what was computed until it failed.
    let predicted = ran && take(Meter::PredictSeconds, "metrics/predict_time");
    if predicted {
        take(Meter::InputTotal, "metrics/input_token_count");
        take(Meter::OutputTotal, "metrics/output_token_count");
    }
    let _ = predicted
        // AssemblyAI's transcript, and the end of its session.
        || done && status == Some("completed") && take(Meter::Seconds, "audio_duration")
        || take(Meter::Seconds, "session_duration_seconds")
        // Deepgram's whole answer, and the end of its session.
        || root.at("metadata/request_id").is_some() && take(Meter::Seconds, "metadata/duration")
        || root.text("type") == Some("Metadata") && take(Meter::Seconds, "duration")
        // Gladia, Rev.
        || take(Meter::Seconds, "result/metadata/audio_duration")
        || status == Some("transcribed") && take(Meter::Seconds, "duration_seconds");
    // A video states its length in a string.
    if done
        && root.text("object") == Some("video")
        && let Some(Quantity::Sound(seconds) | Quantity::Mended(seconds)) =
            root.get("seconds").map(|node| Quantity::read(node, false))
    {
        counts.set(Meter::Seconds, seconds);
    }
    answer.report(counts);
    estimated(root, answer);
}

/// A transcript's own length, where nothing is said about what is billed.
fn estimated(root: &Node, answer: &mut Answer) {
    let is_transcript = matches!(root.text("task"), Some("transcribe" | "translate"));
    if !is_transcript || answer.usage_present {
        return;
    }
    if let Some(Quantity::Sound(seconds)) = root.get("duration").map(|n| Quantity::read(n, false)) {
        answer.usage.set(Meter::Seconds, seconds, Provenance::Estimated);
    }
}
