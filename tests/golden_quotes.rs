//! The same quotes, byte for byte, in every build of the engine: this file runs natively, as Wasm
//! in Node, and as Wasm in a browser; `tests/edge` asks the Worker for the same ones.

#![allow(clippy::unwrap_used)]

use farebox::book::DEFAULT;
use farebox::quote::quote_text;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CASES: &str = include_str!("golden/quotes.jsonl");
const EXPECTED: &str = include_str!("golden/quotes.expected.txt");

fn quotes() -> String {
    CASES
        .lines()
        .map(|line| {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            quote_text(DEFAULT, case.get("request").unwrap().as_str().unwrap()) + "\n"
        })
        .collect()
}

#[test]
fn every_build_gives_the_same_bytes_for_the_same_quote() {
    let got = quotes();
    #[cfg(not(target_arch = "wasm32"))]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("tests/golden/quotes.expected.txt", &got).unwrap();
        return;
    }
    assert_eq!(got, EXPECTED);
}
