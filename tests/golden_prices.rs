//! Prices that genai-prices and litellm agree on, priced by the catalogue: equal to the last digit.
//! `make test-prices` compares all of them; these are a seeded sample, so that a wrong rule shows at
//! once and without any other package.

#![allow(clippy::unwrap_used)]
#![cfg(not(target_arch = "wasm32"))]

use std::io::Write;
use std::process::{Command, Stdio};

const CASES: &str = include_str!("golden/prices.jsonl");

#[test]
fn what_both_libraries_say_is_what_farebox_says_to_the_last_digit() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farebox"))
        .arg("price")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = command.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(CASES.as_bytes()).unwrap());
    let output = command.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let mut checked = 0;
    for (case, answer) in CASES.lines().zip(answers.lines()) {
        let case: serde_json::Value = serde_json::from_str(case).unwrap();
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        assert_eq!(case.get("id"), answer.get("id"), "one answer a line, in order");
        assert_eq!(case.get("expected"), answer.get("amount"), "{case}\n{answer}");
        checked += 1;
    }
    assert!(checked >= 500, "only {checked} cases");
}
