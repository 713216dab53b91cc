//! Charges priced as a second implementation prices them: `golden/make_rate.py` made the cases and
//! the expected amounts in plain fractions. Runs natively, as Wasm in Node, and as Wasm in a browser.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use farebox::rating::charge::answer;
use serde_json::{Value, json};

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const CASES: &str = include_str!("golden/rate.jsonl");
const EXPECTED: &str = include_str!("golden/rate.expected.jsonl");

#[test]
fn every_build_prices_a_charge_as_the_second_implementation_does() {
    let mut cases = 0;
    for (case, expected) in CASES.lines().zip(EXPECTED.lines()) {
        let answer = answer(case);
        let told = match answer.get("error") {
            Some(error) => json!({ "id": answer["id"], "code": error["code"] }),
            None => json!({ "id": answer["id"], "amount": answer["amount"] }),
        };
        assert_eq!(told, serde_json::from_str::<Value>(expected).unwrap(), "{case}");
        cases += 1;
    }
    assert_eq!(cases, 500);
}
