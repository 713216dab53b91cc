//! Usage of other models inside an answer.

use super::answer::{Answer, SubUsage};
use super::counts::{self, Hint, Unknown};
use super::session::TRANSCRIPT;
use crate::money::Exact;
use crate::wire::json::Node;
use crate::wire::number::Quantity;
use crate::wire::usage::{Meter, Provenance};

/// What a body says of other models' usage.
pub(super) fn of_body(body: &Node, answer: &mut Answer) {
    iterations(body, answer);
    groq(body, answer);
    tools(body, answer);
    calls_without_meter(body, answer);
    backends(body, answer);
    for usage in [body.get("svg_usage"), body.at("usage/svg_usage")].into_iter().flatten() {
        push("svg", false, usage.text("model"), usage, Hint::None, answer);
    }
}

fn push(
    kind: &str,
    included: bool,
    model: Option<&str>,
    usage: &Node,
    hint: Hint,
    answer: &mut Answer,
) {
    let mut counts = counts::read(usage, kind, hint);
    if let Some(Quantity::Sound(tokens)) =
        usage.get("reasoning_tokens").map(|node| Quantity::read(node, true))
    {
        counts.set(Meter::Reasoning, tokens);
    }
    answer.suspect |= counts.suspect;
    let (kind, model) = (kind.to_owned(), model.map(str::to_owned));
    answer.sub(SubUsage { kind, included, model, usage: counts.usage });
}

/// Anthropic's `iterations`. Those of type `message` are the answer's own total, a compaction is not
/// in it, an advisor is another model's. Where a model declined and another one answered, both are
/// listed, and the total may be that of the last alone.
fn iterations(body: &Node, answer: &mut Answer) {
    let items = body.list("usage/iterations");
    if items.is_empty() {
        return;
    }
    // Cumulative like all of the report: the last list is the whole list.
    answer.sub_usage.retain(|sub| !sub.kind.starts_with("iteration:"));
    let hops = || items.iter().filter(|item| is_hop(item));
    let fell_back = hops().any(|hop| hop.text("type") == Some("fallback_message"));
    let sums_up = |key: &str| {
        let sum = Exact::sum(hops().filter_map(|hop| hop.get(key).and_then(tokens))).ok();
        body.at("usage").and_then(|usage| usage.get(key)).is_none_or(|total| tokens(total) == sum)
    };
    let all_included = fell_back && sums_up("input_tokens") && sums_up("output_tokens");
    let served = hops().next_back();
    for item in items {
        let included = is_hop(item) && all_included;
        let own = is_hop(item) && !all_included && (!fell_back || served == Some(item));
        if !own {
            let kind = format!("iteration:{}", item.text("type").unwrap_or_default());
            push(&kind, included, item.text("model"), item, Hint::Anthropic, answer);
        }
    }
}

fn is_hop(item: &Node) -> bool {
    matches!(item.text("type"), Some("message" | "fallback_message"))
}

fn tokens(node: &Node) -> Option<Exact> {
    match Quantity::read(node, true) {
        Quantity::Sound(tokens) => Some(tokens),
        _ => None,
    }
}

/// Groq's compound systems break their total down by model.
fn groq(body: &Node, answer: &mut Answer) {
    let items = body.list("usage_breakdown/models");
    if items.is_empty() {
        return;
    }
    answer.sub_usage.retain(|sub| sub.kind != "breakdown");
    for item in items {
        if let Some(usage) = item.get("usage") {
            push("breakdown", true, item.text("model"), usage, Hint::None, answer);
        }
    }
}

/// OpenAI Live hands questions on to other models; their counts are cumulative too.
fn backends(body: &Node, answer: &mut Answer) {
    let items = body.list("usage/backend_model_usage");
    if !items.is_empty() {
        answer.sub_usage.retain(|sub| sub.kind != "backend");
    }
    for item in items {
        push("backend", false, item.text("model"), item, Hint::None, answer);
    }
}

/// OpenAI Responses: what server-side tools used.
fn tools(body: &Node, answer: &mut Answer) {
    if let Some(image) = body.at("tool_usage/image_gen") {
        let spent = image.get("total_tokens").or_else(|| image.get("output_tokens"));
        let spent = spent.map(|node| Quantity::read(node, true));
        if spent.is_some_and(|spent| spent != Quantity::Sound(Exact::ZERO)) {
            answer.sub_usage.retain(|sub| sub.kind != "image_generation");
            push("image_generation", false, None, image, Hint::None, answer);
        }
    }
    let searches = body.at("tool_usage/web_search/num_requests");
    if let Some(Quantity::Sound(searches)) = searches.map(|node| Quantity::read(node, true)) {
        // Every answer carries a zero here, asked for or not: that is a form left blank.
        if !searches.is_zero() {
            answer.usage.set(Meter::WebSearchRequests, searches, Provenance::Reported);
        }
        return;
    }
    if answer.usage.get(Meter::WebSearchRequests).is_some() {
        return;
    }
    let calls =
        body.list("output").iter().filter(|item| item.text("type") == Some("web_search_call"));
    calls.for_each(|_| answer.count(Meter::WebSearchRequests));
}

/// OpenAI Responses: tools that are billed by the call, and that neither a usage object nor a meter
/// counts. They are not free, so they are kept as what no table names.
fn calls_without_meter(body: &Node, answer: &mut Answer) {
    const KINDS: [&str; 3] = ["file_search_call", "code_interpreter_call", "image_generation_call"];
    let is_told =
        |kind| kind == "image_generation_call" && body.at("tool_usage/image_gen").is_some();
    for kind in KINDS.into_iter().filter(|kind| !is_told(*kind)) {
        let output = body.list("output").iter();
        let calls = output.filter(|item| item.text("type") == Some(kind)).count();
        if let Some(calls) = u64::try_from(calls).ok().filter(|calls| *calls > 0) {
            answer.keep_unknown(Unknown { path: format!("output/{kind}"), quantity: calls.into() });
        }
    }
}

/// The model that transcribes a Realtime session's input, from the session's settings.
pub(super) fn transcriber(root: &Node) -> Option<String> {
    let paths =
        ["session/audio/input/transcription/model", "session/input_audio_transcription/model"];
    paths.iter().find_map(|path| root.text(path)).map(str::to_owned)
}

/// The usage of one transcript.
pub(super) fn transcription(root: &Node, model: Option<&str>, answer: &mut Answer) {
    if let Some(usage) = root.get("usage")
        && answer.is_new(root.text("item_id"))
    {
        push(TRANSCRIPT, false, model, usage, Hint::None, answer);
    }
}
