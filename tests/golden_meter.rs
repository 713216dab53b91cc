//! Recorded shapes of answers, read as `farebox meter` reads them, wherever the bytes are cut.
//! `UPDATE_GOLDEN=1 cargo test` writes the expectation anew; read its diff before you commit it.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use farebox::meter::{End, Framing, Metering, Reading};
use serde_json::{Value, json};

const CASES: &str = include_str!("golden/meter.jsonl");
const EXPECTED: &str = "tests/golden/meter.expected.jsonl";

fn read(case: &Value, cut: usize) -> Reading {
    let framing = if case["transport"] == "sse" { Framing::Sse } else { Framing::Json };
    let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
    let mut metering = Metering::new(framing, status);
    case["body"].as_str().unwrap().as_bytes().chunks(cut).for_each(|piece| metering.chunk(piece));
    metering.end(End::Eof)
}

fn shown(case: &Value, reading: &Reading) -> String {
    let usage: serde_json::Map<String, Value> = reading
        .usage
        .iter()
        .map(|(meter, m)| (meter.as_str().into(), json!([m.quantity, m.provenance])))
        .collect();
    json!({ "id": case["id"], "usage": usage, "present": reading.usage_present,
            "final": reading.is_final, "model": reading.model, "tier": reading.service_tier,
            "outcome": reading.outcome, "suspect": reading.suspect })
    .to_string()
}
#[test]
fn every_recorded_answer_reads_as_written_down() {
    let mut got = String::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        got.push_str(&shown(&case, &read(&case, usize::MAX)));
        got.push('\n');
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(EXPECTED, &got).unwrap();
    }
    let want = std::fs::read_to_string(EXPECTED).unwrap();
    for (got, want) in got.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(got.lines().count(), want.lines().count());
}

#[test]
fn where_an_answer_is_cut_changes_nothing() {
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let whole = read(&case, usize::MAX);
        for cut in (1..=7).chain([13, 64, 1000]) {
            assert_eq!(read(&case, cut), whole, "{} cut at {cut}", case["id"]);
        }
    }
}
