//! Prices that genai-prices and litellm agree on, priced by the catalogue: equal to the last digit.
//! `make test-prices` compares all of them; these are a seeded sample, so that a wrong rule shows at
//! once and without any other package.

#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

use std::io::Write;
use std::process::{Command, Stdio};

const CASES: &str = include_str!("golden/prices.jsonl");

/// What `farebox price` answers to these lines.
fn price(lines: &str) -> Vec<serde_json::Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farebox"))
        .arg("price")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = command.stdin.take().unwrap();
    let lines = lines.to_owned();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = command.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_both_libraries_say_is_what_farebox_says_to_the_last_digit() {
    let answers = price(CASES);
    assert!(answers.len() >= 500, "only {} cases", answers.len());
    for (case, answer) in CASES.lines().zip(answers) {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        assert_eq!(case.get("id"), answer.get("id"), "one answer a line, in order");
        assert_eq!(case.get("expected"), answer.get("amount"), "{case}\n{answer}");
    }
}

/// Each line: the request without its id, and the amount or the error's code.
const RULES: [(&str, &str); 23] = [
    // A provider and a model by any of their spellings.
    (r#""model":"gpt-4o","usage":{"input_total":"1000"}"#, "0.0025"),
    (r#""provider":"OpenAI","model":"openai/GPT-4o","usage":{"input_total":"1000"}"#, "0.0025"),
    (r#""provider":"azure","model":"azure/gpt-4o","usage":{"input_total":"1000"}"#, "0.0025"),
    (r#""model":"gpt-4o-mini-2031-01-01","usage":{"input_total":"1000"}"#, "0.00015"),
    (
        r#""provider":"bedrock","model":"us.anthropic.claude-sonnet-4-5-20250929-v1:0","usage":{"input_total":"1000"}"#,
        "0.0033",
    ),
    (
        r#""model":"claude-sonnet-4-5@20250929","provider":"vertex_ai","usage":{"input_total":"1000"}"#,
        "0.003",
    ),
    (r#""model":"gpt-nobody-knows","usage":{"input_total":"1000"}"#, "model_not_priced"),
    (r#""provider":"nobody","model":"gpt-4o","usage":{"input_total":"1000"}"#, "model_not_priced"),
    // The tier that is asked for, or the default one where the model has none.
    (r#""model":"gpt-4o","service_tier":"batch","usage":{"input_total":"1000"}"#, "0.00125"),
    (
        r#""model":"gpt-3.5-turbo-instruct","service_tier":"flex","usage":{"input_total":"1000"}"#,
        "0.0015",
    ),
    // The context tier by the whole input, for every meter.
    (r#""model":"gemini-2.5-pro","usage":{"input_total":"200000","output_total":"100"}"#, "0.251"),
    (
        r#""model":"gemini-2.5-pro","usage":{"input_total":"200001","output_total":"100"}"#,
        "0.5015025",
    ),
    // The price of the day and of the hour.
    (
        r#""model":"deepseek-chat","at":"2025-03-01T12:00:00Z","usage":{"input_total":"1000"}"#,
        "0.00027",
    ),
    (
        r#""model":"deepseek-chat","at":"2025-03-01T20:00:00Z","usage":{"input_total":"1000"}"#,
        "0.000135",
    ),
    // A price in two fields counts once; what has no rate is an error, what was not reported is not.
    (r#""model":"whisper-1","usage":{"seconds":"60"}"#, "0.006"),
    (r#""model":"gpt-4o","usage":{"input_total":"9","audio_in":"3"}"#, "meter_not_priced"),
    (
        r#""model":"gpt-4o","usage":{"input_total":1000,"audio_in":null,"requests":"1","turns":"2"}"#,
        "0.0025",
    ),
    (r#""model":"gpt-4o","usage":{"input_total":"-1"}"#, "invalid_input"),
    (r#""model":"gpt-4o","usage":{"input_total":"NaN"}"#, "invalid_input"),
    // Numbers by their digits, never through a float; of two quantities of a meter neither wins.
    (r#""model":"gpt-4o","usage":{"input_total":0.30000000000000004}"#, "0.0000007500000000000001"),
    (r#""model":"gpt-4o","usage":{"input_total":1e-9}"#, "0.0000000000000025"),
    (
        r#""model":"gpt-4o","usage":{"input_total":"9999999999999999999999999999"}"#,
        "amount_out_of_range",
    ),
    (r#""model":"gpt-4o","usage":{"input_total":"1","input_total":"2"}"#, "invalid_input"),
];

#[test]
fn the_catalogue_is_read_by_the_contracts_rules() {
    let lines = RULES.map(|(case, _)| format!("{{\"id\":1,{case}}}\n")).concat();
    for ((case, want), answer) in RULES.iter().zip(price(&lines)) {
        let got = answer.pointer("/amount").or(answer.pointer("/error/code"));
        assert_eq!(got.and_then(|got| got.as_str()), Some(*want), "{case}\n{answer}");
    }
}
