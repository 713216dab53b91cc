//! `farebox meter --count`, as it is typed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
#![cfg(not(target_arch = "wasm32"))]

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// The output tokens shown for an answer, and where they come from.
fn output(input: &Value) -> (Value, Value) {
    let mut farebox = Command::new(env!("CARGO_BIN_EXE_farebox"))
        .args(["meter", "--count"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    farebox.stdin.take().unwrap().write_all(format!("{input}\n").as_bytes()).unwrap();
    let said = farebox.wait_with_output().unwrap().stdout;
    let said: Value = serde_json::from_slice(&said).unwrap();
    (said["usage"]["output_total"].clone(), said["provenance"]["output_total"].clone())
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// A chat stream without usage, of deltas for choices.
fn chat(model: &str, request: &Value, deltas: &[(u64, &str)]) -> Value {
    let chunk = |(index, text): &(u64, &str)| {
        let choice = json!({ "index": index, "delta": { "content": text } });
        event(&json!({ "model": model, "choices": [choice] }))
    };
    let body: String = deltas.iter().map(chunk).collect();
    json!({ "id": 1, "transport": "sse", "request": request, "body": body })
}

fn counted(tokens: &str) -> (Value, Value) {
    (tokens.into(), "counted".into())
}

#[test]
fn text_that_no_usage_covers_is_counted_by_its_models_own_vocabulary() {
    let text = [(0, "Hel"), (0, "lo, world! Antidisestablishmentarianism")];
    let whole = "Hello, world! Antidisestablishmentarianism";
    let of = |name| {
        let vocabulary = farebox::tokens::Vocabulary::named(name).unwrap();
        farebox::tokens::Tokeniser::of(vocabulary).unwrap().count(whole).at_least.to_string()
    };
    let (newer, older) = (of("o200k_base"), of("cl100k_base"));
    assert_eq!(output(&chat("gpt-4o", &json!({}), &text)), counted(&newer));
    assert_eq!(output(&chat("gpt-4-0613", &json!({}), &text)), counted(&older));
    let asked = json!({ "model": "gpt-4o" });
    assert_eq!(
        output(&chat("", &asked, &text)),
        counted(&newer),
        "by the request where it is not said"
    );
    let allowed = json!({ "model": "gpt-4o", "max_tokens": 3 });
    assert_eq!(output(&chat("gpt-4o", &allowed, &text)), counted("3"));
}

#[test]
fn a_model_without_a_public_vocabulary_is_counted_by_the_nearest_at_its_stated_share() {
    let text = [(0, "Antidisestablishmentarianism"), (0, " is a word")];
    let whole = "Antidisestablishmentarianism is a word";
    let vocabulary = farebox::tokens::Vocabulary::named("o200k_base").unwrap();
    let nearest = farebox::tokens::Tokeniser::of(vocabulary).unwrap().count(whole).at_least;
    // 77 %: docs/tokens.md.
    let share = (nearest * 77 / 100).to_string();
    assert_eq!(output(&chat("claude-x", &json!({}), &text)), counted(&share));
}

#[test]
fn interleaved_choices_are_texts_of_their_own() {
    let deltas = [(0, "Hel"), (1, "Bon"), (0, "lo"), (1, "jour")];
    let one = output(&chat("gpt-4o", &json!({}), &[(0, "Bon"), (0, "jour")]));
    assert_eq!(one, counted("2"));
    // Run together as they come, they would be another text.
    assert_eq!(output(&chat("gpt-4o", &json!({}), &deltas)), counted("4"));
}

#[test]
fn what_is_repeated_summed_up_or_sound_is_not_counted_as_text() {
    let text = json!({ "type": "response.output_text.delta", "delta": "Hello, world!" });
    let done = json!({ "type": "response.output_text.done", "text": "Hello, world!" });
    let summary =
        json!({ "type": "response.reasoning_summary_text.delta", "delta": "All the words here" });
    let audio = json!({ "type": "response.output_audio.delta", "delta": "UklGRiQAAABXQVZFZm10" });
    let body: String = [text, done, summary, audio].iter().map(event).collect();
    let answer =
        json!({ "id": 1, "transport": "sse", "request": { "model": "gpt-4o" }, "body": body });
    assert_eq!(output(&answer), counted("6"), "four, and an event each");
}

#[test]
fn a_whole_answer_without_usage_is_counted() {
    let body = json!({ "model": "gpt-4o", "choices": [{ "index": 0, "finish_reason": "stop",
        "message": { "role": "assistant", "content": "Hello, world!" } }] });
    let answer = json!({ "id": 1, "transport": "json", "body": body.to_string() });
    assert_eq!(output(&answer), counted("4"));
}
