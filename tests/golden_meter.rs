//! Answers of every kind, read as `farebox meter` reads them, wherever the bytes are cut.
//!
//! `golden/meter.jsonl` holds small cases whose expectation this test can write anew
//! (`UPDATE_GOLDEN=1 cargo test`; read its diff before you commit it). The files in `golden/meter/`
//! are written from the providers' documents, expectation included: `{"input", "why", "expected"}`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use data_encoding::BASE64;
use farebox::meter::{End, Framing, Metering, Reading, TEXTS_MAX};
use farebox::wire::usage::{Meter, Provenance};
use serde_json::{Map, Value, json};

const CASES: &str = include_str!("golden/meter.jsonl");
const EXPECTED: &str = "tests/golden/meter.expected.jsonl";
const FIXTURES: &str = "tests/golden/meter";

/// Where the reading differs from what a fixture expects, and why.
const DIFFERS: &[(&str, &str)] = &[
    (
        "bad_input/cached-above-prompt",
        "the total stands as reported; a remainder that would be negative is not made up",
    ),
    (
        "openrouter/read-and-written-overlap",
        "the total stands as reported; a remainder that would be negative is not made up",
    ),
    ("jobs/runway-created", "an answer that is an id alone says nothing of a job"),
    ("openai_responses/web-search", "tool calls counted here are shown with --count"),
    ("openai_responses/web-search-stream", "tool calls counted here are shown with --count"),
    (
        "openai_responses/image-generation-tool",
        "a zero in the form that every answer carries is a blank",
    ),
    (
        "openai_responses/image-generation-tool-stream",
        "a zero in the form that every answer carries is a blank",
    ),
];

fn metering(case: &Value) -> Metering {
    let status = u16::try_from(case["status"].as_u64().unwrap_or(200)).unwrap();
    let framing = match case["transport"].as_str().unwrap_or("json") {
        "ws-text-frames" => return Metering::session(status),
        "sse" => Framing::Sse,
        "ndjson" => Framing::Lines,
        "aws-eventstream" => Framing::EventStream,
        "binary" => Framing::Binary,
        _ => Framing::Json,
    };
    Metering::new(framing, status)
}

fn body(case: &Value) -> Vec<u8> {
    let text = case["body"].as_str().unwrap().as_bytes();
    if case["body_encoding"] == "base64" { BASE64.decode(text).unwrap() } else { text.to_vec() }
}

fn read(case: &Value, pieces: &[&[u8]]) -> Reading {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let headers = case["response_headers"].as_object().cloned().unwrap_or_default();
    let headers = headers.iter().map(|(name, value)| (name.clone(), text(value)));
    let mut metering = metering(case).with_headers(headers.collect::<Vec<_>>());
    if let Some(provider) = case["provider"].as_str() {
        metering = metering.with_provider(provider);
    }
    let speech = ["input", "text"].iter().find_map(|key| case["request"][key].as_str());
    if let Some(speech) = speech {
        metering = metering.with_characters(u64::try_from(speech.chars().count()).unwrap());
    }
    pieces.iter().for_each(|piece| metering.chunk(piece));
    metering.end(End::Eof)
}

fn read_whole(case: &Value) -> Reading {
    read(case, &[&body(case)])
}

/// The small cases and the fixtures' inputs.
fn inputs() -> Vec<Value> {
    let mut all: Vec<Value> =
        CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    all.extend(fixtures().into_iter().map(|fixture| fixture["input"].clone()));
    all
}

fn fixtures() -> Vec<Value> {
    let Ok(files) = std::fs::read_dir(FIXTURES) else { return Vec::new() };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "jsonl"));
    paths.sort();
    let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .flat_map(|text| {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

fn shown(case: &Value, reading: &Reading) -> String {
    let usage: Map<String, Value> = reading
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
fn every_small_case_reads_as_written_down() {
    let mut got = String::new();
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        got.push_str(&shown(&case, &read_whole(&case)));
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

/// What a fixture's `expected` compares, of a reading.
fn compared(reading: &Reading) -> Value {
    let told = |meter: Meter, provenance| {
        provenance == Provenance::Reported
            || matches!(meter, Meter::Requests | Meter::Turns | Meter::Images | Meter::Characters)
    };
    let usage: Map<String, Value> = reading
        .reported
        .iter()
        .filter(|(meter, measured)| told(*meter, measured.provenance))
        .map(|(meter, measured)| (meter.as_str().into(), json!(measured.quantity)))
        .collect();
    let subs: Vec<Value> = reading
        .sub_usage
        .iter()
        .map(|sub| {
            let usage: Map<String, Value> =
                sub.usage.iter().map(|(m, q)| (m.as_str().into(), json!(q.quantity))).collect();
            json!({ "model": sub.model, "usage": usage })
        })
        .collect();
    json!({ "usage": usage, "usage_present": reading.usage_present, "final": reading.is_final,
            "model": reading.model, "service_tier": reading.service_tier, "sub_usage": subs,
            "provider_cost_usd": reading.provider_cost_usd, "outcome": reading.outcome })
}

#[test]
fn every_fixture_reads_as_its_documents_say() {
    let mut wrong = Vec::new();
    for fixture in fixtures() {
        let id = fixture["input"]["id"].as_str().unwrap();
        let mut want = fixture["expected"].as_object().unwrap().clone();
        want.remove("provenance");
        for absent in ["model", "service_tier", "provider_cost_usd"] {
            want.entry(absent).or_insert(Value::Null);
        }
        let subs = want.entry("sub_usage").or_insert(json!([]));
        for sub in subs.as_array_mut().unwrap() {
            sub.as_object_mut().unwrap().entry("model").or_insert(Value::Null);
        }
        let got = compared(&read_whole(&fixture["input"]));
        let known = DIFFERS.iter().any(|(differs, _)| *differs == id);
        if (got != Value::Object(want.clone())) != known {
            wrong.push(format!("{id}\n  got  {got}\n  want {}", Value::Object(want)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Marked as suspect in the fixtures, and not found to be: the counts themselves are sound.
const NOT_SUSPECT: &[&str] = &[
    "bad_input/null-parts",
    "bad_input/total-above-sum",
    "bad_input/invalid-utf8",
    "bad_input/control-characters",
];

#[test]
fn what_contradicts_itself_is_flagged() {
    for fixture in fixtures().iter().filter(|fixture| fixture["suspect"] == true) {
        let id = fixture["input"]["id"].as_str().unwrap();
        let known = NOT_SUSPECT.contains(&id);
        assert!(read_whole(&fixture["input"]).suspect || known, "{id}");
    }
    let body = r#"{"usage":{"prompt_tokens":-1,"completion_tokens":2}}"#;
    assert!(read_whole(&json!({ "transport": "json", "body": body })).suspect);
}

/// Short answers are cut at every byte; long ones at some fifty of them, unless all are asked for
/// (`FAREBOX_EVERY_CUT=1`, in a release build): each cut reads the answer anew.
fn stride(length: usize) -> usize {
    if std::env::var_os("FAREBOX_EVERY_CUT").is_some() { 1 } else { (length / 50) | 1 }
}

#[test]
fn f24_where_an_answer_is_cut_changes_nothing() {
    for case in inputs() {
        let (bytes, whole) = (body(&case), read_whole(&case));
        for cut in 1..=7 {
            let pieces: Vec<&[u8]> = bytes.chunks(cut).collect();
            assert_eq!(read(&case, &pieces), whole, "{} in pieces of {cut}", case["id"]);
        }
        for at in (0..=bytes.len()).step_by(stride(bytes.len())) {
            let (left, right) = bytes.split_at(at);
            assert_eq!(read(&case, &[left, right]), whole, "{} cut at {at}", case["id"]);
        }
    }
}

#[test]
fn f25_how_lines_end_changes_nothing() {
    for case in inputs() {
        let framing = case["transport"].as_str().unwrap_or("json");
        let text = case["body"].as_str().unwrap();
        if !matches!(framing, "sse" | "ndjson" | "ws-text-frames") || text.contains('\r') {
            continue;
        }
        let whole = read_whole(&case);
        for end in ["\r\n", "\r"] {
            let other = text.replace('\n', end);
            assert_eq!(read(&case, &[other.as_bytes()]), whole, "{} with {end:?}", case["id"]);
            let pieces: Vec<&[u8]> = other.as_bytes().chunks(3).collect();
            assert_eq!(read(&case, &pieces), whole, "{} with {end:?}, in pieces", case["id"]);
        }
    }
}

#[test]
fn an_answer_cut_off_anywhere_never_reports_more_than_the_whole_one() {
    let output = |reading: &Reading| reading.reported.get(Meter::OutputTotal).unwrap_or_default();
    for case in inputs() {
        let whole = read_whole(&case);
        if whole.suspect || whole.outcome == farebox::meter::Outcome::Error {
            continue;
        }
        let bytes = body(&case);
        for at in (0..bytes.len()).step_by(stride(bytes.len())) {
            let cut = read(&case, &[&bytes[..at]]);
            let placeholder = case["body"].as_str().unwrap().contains("message_start");
            assert!(output(&cut) <= output(&whole) || placeholder, "{} at {at}", case["id"]);
        }
    }
}

#[test]
fn a_client_that_leaves_pays_for_what_was_seen_and_never_for_more_than_it_allowed() {
    let mut streams = 0;
    for case in inputs() {
        let whole = read_whole(&case);
        if whole.seen_output < 2 || !whole.usage_present {
            continue;
        }
        streams += 1;
        let bytes = body(&case);
        for at in (0..bytes.len()).step_by(stride(bytes.len())) {
            let mut cut = metering(&case).with_max_output(2);
            cut.chunk(&bytes[..at]);
            let reading = cut.end(End::ClientLeft);
            let charged = reading.usage.get(Meter::OutputTotal).unwrap_or_default();
            let reported = reading.reported.get(Meter::OutputTotal).unwrap_or_default();
            let covered = charged >= reading.seen_output.into() || reading.is_final;
            assert!(covered, "{} at {at}", case["id"]);
            assert!(charged <= reported.max(2.into()), "{} at {at}", case["id"]);
        }
    }
    assert!(streams > 2, "some of the cases are streams: {streams}");
}

/// What this thread has spent on a processor, whatever else the machine does; by the clock where
/// the system does not say.
fn processor_time() -> std::time::Duration {
    static START: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), std::time::Duration::from_nanos)
}

/// Time grows with length and not with its square, for lines and values made to hurt: up to ten
/// megabytes, two in a build without optimisation.
#[test]
fn bytes_on_one_line_take_the_time_of_as_many_bytes_on_ten() {
    type Make = fn(usize) -> String;
    let shapes: [(&str, Framing, Make); 8] = [
        ("a data line", Framing::Sse, |n| format!("data: {}", "x".repeat(n))),
        ("a comment", Framing::Sse, |n| format!(":{}", "x".repeat(n))),
        ("data lines of one event", Framing::Sse, |n| "data: x\n".repeat(n / 8)),
        ("line ends", Framing::Sse, |n| "\r".repeat(n)),
        ("quotes", Framing::Json, |n| format!("{{\"choices\":[{}", "\"\",".repeat(n / 3))),
        ("backslashes", Framing::Json, |n| format!("{{\"id\":\"{}", "\\\\".repeat(n / 2))),
        ("brackets", Framing::Json, |n| "[".repeat(n)),
        ("keys", Framing::Lines, |n| format!("{{\"usage\":{{{}", "\"a\":1,".repeat(n / 6))),
    ];
    for (name, framing, make) in shapes {
        let time = |text: &str, times: usize| {
            let began = processor_time();
            for _ in 0..times {
                let mut metering = Metering::new(framing, 200);
                text.as_bytes().chunks(1000).for_each(|piece| metering.chunk(piece));
                metering.end(End::Cut);
            }
            processor_time().saturating_sub(began)
        };
        let size = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
        let (short, long) = (make(size), make(10 * size));
        // The same bytes in all, so the same time, with room for caches that other programs share
        // and for a clock that ticks every few milliseconds; the square would be ten times. Others
        // can only slow a run down, so one good try in five is proof.
        let tick = std::time::Duration::from_millis(10);
        let is_linear = || time(&long, 1) < time(&short, 10) * 4 + tick;
        assert!((0..5).any(|_| is_linear()), "{name}");
    }
}

#[test]
fn fifty_megabytes_of_text_are_metered_wherever_the_usage_stands() {
    let usage = "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":9,\"total_tokens\":16}";
    let open = "\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"";
    let piece = "\\\"usage\\\":{ text ".repeat(4096);
    for (before, after) in [
        (format!("{{{open}"), format!("\"}}}}],{usage}}}")),
        (format!("{{{usage},{open}"), "\"}}]}".to_owned()),
    ] {
        let mut metering = Metering::new(Framing::Json, 200);
        metering.chunk(before.as_bytes());
        for _ in 0..50 * 1024 * 1024 / piece.len() {
            metering.chunk(piece.as_bytes());
        }
        metering.chunk(after.as_bytes());
        let reading = metering.end(End::Eof);
        assert_eq!(reading.reported.get(Meter::OutputTotal), Some(9.into()));
        assert!(reading.is_final && !reading.suspect);
    }
}

/// Streams cut before their usage, whose text is known: the fewest output tokens there can be.
const CUT: &str = include_str!("golden/meter/cut.jsonl");

/// Cases in which nothing that a model wrote has come: a role, sound, a picture.
const NOTHING_WRITTEN: [&str; 3] =
    ["cut/openai-chat-nothing-yet", "cut/openai-speech", "cut/openai-images"];

#[test]
fn a_stream_cut_before_its_usage_is_charged_what_came_and_never_more_than_was_allowed() {
    let mut counted_by_tokens = 0;
    for line in CUT.lines() {
        let case = serde_json::from_str::<Value>(line).unwrap()["input"].clone();
        let id = case["id"].as_str().unwrap();
        let requested = case["request"]["model"].as_str();
        let read = |counter: bool, most: u64| {
            let mut metering = metering(&case).with_max_output(most);
            if counter {
                metering = metering.with_texts(TEXTS_MAX);
            }
            metering.chunk(&body(&case));
            let mut reading = metering.end(End::Cut);
            reading.count(requested);
            reading
        };
        let (plain, exact) = (read(false, u64::MAX), read(true, u64::MAX));
        let charged = |reading: &Reading| reading.usage.get(Meter::OutputTotal).unwrap_or_default();
        for reading in [&plain, &exact] {
            assert!(charged(reading) >= reading.seen_output.into(), "{id}");
            assert_eq!(charged(reading).is_zero(), NOTHING_WRITTEN.contains(&id), "{id}");
        }
        assert!(exact.seen_output >= plain.seen_output, "{id}: counting never lowers");
        counted_by_tokens += u32::from(exact.seen_output > plain.seen_output);
        for counter in [false, true] {
            let reading = read(counter, 1);
            let reported = reading.reported.get(Meter::OutputTotal).unwrap_or_default();
            assert!(charged(&reading) <= reported.max(1.into()), "{id}: no more than was allowed");
        }
    }
    assert!(counted_by_tokens >= 5, "{counted_by_tokens}");
}
