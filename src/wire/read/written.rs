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
const DELTAS: [&str; 7] = [
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.code_interpreter_call_code.delta",
    "transcript.text.delta",
];

/// Shows `see` every piece of text that the model wrote in this event or, where it is the `whole`
/// answer, in all of it. Reasoning is left out: some providers show a summary of it, which is not
/// what is billed; so is a completion's text, which repeats the prompt where `echo` is asked for.
pub(super) fn pieces(root: &Node, whole: bool, see: &mut dyn FnMut(Part, &str)) {
    if let Some(field) = DELTAS.into_iter().find(|kind| root.text("type") == Some(kind)) {
        let (item, inner) = (index(root, "output_index"), index(root, "content_index"));
        root.text("delta").into_iter().for_each(|text| see(Part { field, item, inner }, text));
        return;
    }
    // In a stream, a whole message beside the delta repeats what came before.
    let body = if whole { "message" } else { "delta" };
    for choice in root.list("choices") {
        let item = index(choice, "index");
        let Some(body) = choice.get(body) else { continue };
        for field in ["content", "refusal"] {
            let part = Part { field, item, inner: 0 };
            body.text(field).into_iter().for_each(|text| see(part, text));
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
