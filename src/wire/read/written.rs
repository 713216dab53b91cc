//! The text that a model wrote, as far as it tells how many tokens were billed: what a provider
//! repeats at the end, sums up, or makes of it (audio) does not.

use crate::wire::json::Node;

/// Which of an answer's texts a piece goes on with. Texts of one answer may come interleaved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// The field or event that it came in.
    pub field: &'static str,
    /// Which choice, or output item.
    pub item: u64,
    /// Which tool call, or part of the item.
    pub inner: u64,
}

/// Events of the Responses and transcription APIs whose `delta` is the model's own words.
const DELTAS: [&str; 9] = [
    "response.output_text.delta",
    "response.reasoning_text.delta",
    "response.text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
    "transcript.text.delta",
];

/// The event of this name, where its `delta` is the model's own words.
pub(super) fn delta_event(kind: &[u8]) -> Option<&'static str> {
    DELTAS.into_iter().find(|name| name.as_bytes() == kind)
}

/// Where other APIs than OpenAI's write what the model wrote, in an event of a stream.
const IN_EVENTS: [&str; 11] = [
    "candidates/content/parts/text",
    "serverContent/modelTurn/parts/text",
    "contentBlockDelta/delta/text",
    "delta/text",
    "delta/thinking",
    "delta/partial_json",
    "delta/message/content/text",
    "message/content",
    "message/thinking",
    "response",
    "generation",
];

/// The same, in a whole answer.
const IN_WHOLE: [&str; 10] = [
    "candidates/content/parts/text",
    "content/text",
    "content/thinking",
    "message/content",
    "message/content/text",
    "message/thinking",
    "output/message/content/text",
    "results/outputText",
    "response",
    "generation",
];

/// What a chat's message or delta holds of the model's own: its answer, and its reasoning where that
/// is shown. Two names of one reasoning are not two texts.
const SAID: [&[&str]; 3] = [&["content"], &["reasoning_content", "reasoning"], &["refusal"]];

/// Shows `see` every piece of text that the model wrote in this event or, where it is the `whole`
/// answer, in all of it. Left out are summaries of reasoning, which are not what is billed, and a
/// completion's text, which repeats the prompt where `echo` is asked for.
pub(super) fn pieces(root: &Node, whole: bool, see: &mut dyn FnMut(Part, &str)) {
    if let Some(field) = root.text("type").and_then(|kind| delta_event(kind.as_bytes())) {
        let (item, inner) = (index(root, "output_index"), index(root, "content_index"));
        root.text("delta").into_iter().for_each(|text| see(Part { field, item, inner }, text));
        return;
    }
    // In a stream, a whole message beside the delta repeats what came before.
    let body = if whole { "message" } else { "delta" };
    for choice in root.list("choices") {
        let item = index(choice, "index");
        let Some(body) = choice.get(body) else { continue };
        for names in SAID {
            let said = names.iter().find_map(|field| Some((*field, body.text(field)?)));
            said.into_iter().for_each(|(field, text)| see(Part { field, item, inner: 0 }, text));
        }
        for (at, call) in (0_u64..).zip(body.list("tool_calls")) {
            let inner = if whole { at } else { index(call, "index") };
            let part = Part { field: "arguments", item, inner };
            call.text("function/arguments").into_iter().for_each(|text| see(part, text));
        }
    }
    if whole {
        output(root, see);
    }
    others(root, whole, see);
}

/// The texts of other APIs. Their streams have one text after the other, by index if there is one.
fn others(root: &Node, whole: bool, see: &mut dyn FnMut(Part, &str)) {
    let item = index(root, "index").saturating_add(index(root, "contentBlockIndex"));
    let paths: &[&'static str] = if whole { &IN_WHOLE } else { &IN_EVENTS };
    for field in paths.iter().copied().filter(|path| begins(root, path)) {
        let mut inner = 0_u64;
        super::each(root, field, &mut |node| {
            if let Node::Text(text) = node {
                see(Part { field, item, inner }, text);
                // Blocks of a whole answer are texts of their own.
                inner = inner.saturating_add(u64::from(whole));
            }
        });
    }
    if root.text("event_type") == Some("text-generation") {
        let part = Part { field: "text", item, inner: 0 };
        root.text("text").into_iter().for_each(|text| see(part, text));
    }
}

/// Whether a path leads into one of the fields at hand.
pub(super) fn begins(root: &Node, path: &str) -> bool {
    let key = path.split('/').next().unwrap_or_default();
    root.fields().iter().any(|(name, _)| **name == *key)
}

/// The output items of a whole Responses answer.
fn output(root: &Node, see: &mut dyn FnMut(Part, &str)) {
    for (item, output) in (0_u64..).zip(root.list("output")) {
        match output.text("type") {
            Some("message") => {
                for (inner, content) in (0_u64..).zip(output.list("content")) {
                    let part = Part { field: "text", item, inner };
                    content.text("text").into_iter().for_each(|text| see(part, text));
                }
            }
            Some("function_call") => {
                let part = Part { field: "arguments", item, inner: 0 };
                output.text("arguments").into_iter().for_each(|text| see(part, text));
            }
            _ => {}
        }
    }
}

fn index(node: &Node, key: &str) -> u64 {
    match node.get(key) {
        Some(Node::Number(digits)) => digits.parse().unwrap_or(0),
        _ => 0,
    }
}

/// Whether the event repeats in one piece what came before it in many.
pub(super) fn repeats(root: &Node) -> bool {
    root.text("type")
        .is_some_and(|kind| kind.rsplit_once('.').is_some_and(|(_, last)| last == "done"))
}

/// How many words begin in a piece of text: letters or digits right after a space. No tokeniser in
/// use has a token that begins in a word and reaches over a space into the next one, so each is a
/// token at least. A piece's first word may have begun before it and is left out.
///
/// The text may stand as it does in JSON: escapes hide words and add none.
pub(super) fn words(text: &[u8]) -> u64 {
    let pairs = text.iter().zip(text.iter().skip(1));
    pairs.fold(0, |words: u64, (before, byte)| {
        words.saturating_add(u64::from((*before == b' ') & begins_word(*byte)))
    })
}

/// A letter or digit, or the first byte of one outside ASCII. The bytes that begin white space and
/// punctuation too (U+0080 to U+00BF, U+1000 to U+3FFF) do not count.
fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, 0xC3..=0xDF | 0xE4..=0xEE | 0xF0..=0xF4)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tokens::{Tokeniser, Vocabulary};

    #[test]
    fn a_word_counts_where_it_surely_begins() {
        for (text, count) in [
            ("", 0),
            ("bour", 0),
            (" line", 1),
            ("bour line and so on", 4),
            (" i18n e.g. x-y", 3),
            ("a - b", 1),
            ("\n\n  x\ty", 1),
            (" \u{a0} \u{3000} ", 0),
            (" été Ünder 中文 ж", 4),
        ] {
            assert_eq!(words(text.as_bytes()), count, "{text:?}");
            let raw = serde_json::to_string(text).unwrap();
            assert_eq!(words(raw.trim_matches('"').as_bytes()), count, "{raw}");
        }
        assert_eq!(words(br#"say \"no\" \u0020x \\n y"#), 1, "an escape hides, never adds");
    }

    #[test]
    fn words_are_never_more_than_the_tokens_of_either_vocabulary() {
        let sources = [
            include_str!("written.rs"),
            include_str!("../../../README.md"),
            include_str!("../../../docs/metering.md"),
            include_str!("../../tokens/data/NOTICE"),
        ];
        for vocabulary in Vocabulary::ALL {
            let tokeniser = Tokeniser::of(vocabulary).unwrap();
            for line in sources.iter().flat_map(|source| source.lines()) {
                let tokens = tokeniser.count(line).at_least;
                assert!(words(line.as_bytes()) <= tokens, "{line}");
            }
        }
    }
}
