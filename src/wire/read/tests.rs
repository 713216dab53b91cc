//! Rules of reading that need more than an answer and its expectation.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use proptest::prelude::*;

use super::custom::{Custom, Fault};
use super::{Reader, Sink, paths, tables};
use crate::meter::{End, Framing, Metering, Reading, TEXTS_MAX};
use crate::money::Exact;
use crate::wire::json::{Node, Plan, Scanner};
use crate::wire::usage::Meter;

fn read(metering: Metering, body: &str) -> Reading {
    let mut metering = metering;
    metering.chunk(body.as_bytes());
    metering.end(End::Eof)
}

fn quantity(reading: &Reading, meter: Meter) -> Option<String> {
    reading.usage.get(meter).map(|quantity| quantity.to_string())
}

fn custom(text: &str) -> Custom {
    serde_json::from_str(text).unwrap()
}

const ACME: &str = r#"{"name": "acme", "mode": "additive", "when": {"pointer": "/kind", "equals": "step"},
    "model": "/engine/name", "fields": [
    {"pointer": "/cost/in~1out/0", "meter": "input_total"},
    {"pointer": "/cost/ms", "meter": "seconds", "divide_by": "1000"}]}"#;

#[test]
fn a_running_total_that_falls_is_suspect_by_an_operators_extractor_too() {
    let extractor = r#"{"name": "acme", "mode": "cumulative",
        "fields": [{"pointer": "/so/far", "meter": "seconds"}]}"#;
    for (totals, last, suspect) in [([1, 5, 9], "9", false), ([1, 9, 5], "5", true)] {
        let body = totals.map(|total| format!("data: {{\"so\":{{\"far\":{total}}}}}\n\n")).concat();
        let metering = Metering::new(Framing::Sse, 200).with_custom(Arc::new(custom(extractor)));
        let reading = read(metering, &body);
        assert_eq!(quantity(&reading, Meter::Seconds).as_deref(), Some(last));
        assert_eq!(reading.suspect, suspect, "{totals:?}");
    }
}

#[test]
fn counts_beside_an_answer_that_fall_are_suspect() {
    let line = |prompt: u64, eval: u64, done: bool| {
        format!(
            "{{\"model\":\"llama3\",\"response\":\"a\",\"done\":{done},\"prompt_eval_count\":{prompt},\
             \"eval_count\":{eval}}}\n"
        )
    };
    for (first, last, suspect) in
        [((9, 2), (9, 3), false), ((9, 3), (9, 2), true), ((9, 2), (8, 3), true)]
    {
        let body = line(first.0, first.1, false) + &line(last.0, last.1, true);
        let reading = read(Metering::new(Framing::Lines, 200), &body);
        assert_eq!(quantity(&reading, Meter::OutputTotal), Some(last.1.to_string()));
        assert_eq!(reading.suspect, suspect, "{first:?} {last:?}");
    }
}

#[test]
fn an_operators_extractor_reads_what_no_table_knows() {
    let body = "data: {\"kind\":\"step\",\"engine\":{\"name\":\"a-1\"},\"cost\":{\"in/out\":[5,9],\"ms\":1500}}\n\n\
        data: {\"kind\":\"other\",\"cost\":{\"in/out\":[100],\"ms\":1}}\n\n\
        data: {\"kind\":\"step\",\"cost\":{\"in/out\":[7],\"ms\":250}}\n\ndata: [DONE]\n\n";
    let metering = |custom| Metering::new(Framing::Sse, 200).with_custom(Arc::new(custom));
    let reading = read(metering(custom(ACME)), body);
    assert_eq!(quantity(&reading, Meter::InputTotal).as_deref(), Some("12"));
    assert_eq!(quantity(&reading, Meter::Seconds).as_deref(), Some("1.75"));
    assert_eq!(reading.model.as_deref(), Some("a-1"));
    assert!(reading.usage_present && reading.is_final);
    let reading = read(metering(custom(&ACME.replace("additive", "cumulative"))), body);
    assert_eq!(quantity(&reading, Meter::InputTotal).as_deref(), Some("7"));
    assert_eq!(quantity(&reading, Meter::Seconds).as_deref(), Some("0.25"));
}

#[test]
fn an_operators_extractor_overrules_ours_meter_by_meter() {
    let mine = r#"{"name": "x", "mode": "cumulative", "fields": [
        {"pointer": "/usage/real_output", "meter": "output_total"}]}"#;
    let body = r#"{"usage":{"prompt_tokens":5,"completion_tokens":2,"real_output":40}}"#;
    let metering = Metering::new(Framing::Json, 200).with_custom(Arc::new(custom(mine)));
    let reading = read(metering, body);
    assert_eq!(quantity(&reading, Meter::InputTotal).as_deref(), Some("5"));
    assert_eq!(quantity(&reading, Meter::OutputTotal).as_deref(), Some("40"));
}

#[test]
fn every_fault_of_an_extractor_is_named_with_its_place() {
    assert_eq!(custom(ACME).check(), []);
    let bad = r#"{"name": "", "mode": "additive", "when": {"pointer": "kind", "equals": "x"}, "model": "/a~b",
        "fields": [{"pointer": "/a", "meter": "seconds", "divide_by": "0"},
                   {"pointer": "b", "meter": "seconds"}, {"pointer": "/c", "meter": "requests"}]}"#;
    let mut paths: Vec<String> =
        custom(bad).check().into_iter().map(|Fault { path, .. }| path).collect();
    paths.sort();
    let want = [
        "/fields/0/divide_by",
        "/fields/1/meter",
        "/fields/1/pointer",
        "/fields/2/meter",
        "/model",
        "/name",
        "/when/pointer",
    ];
    assert_eq!(paths, want);
    for unknown in [
        r#"{"name":"x","mode":"sum","fields":[]}"#,
        r#"{"name":"x","mode":"additive","fields":[],"y":1}"#,
    ] {
        assert!(serde_json::from_str::<Custom>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn a_transcript_is_taken_apart_from_the_turn_it_comes_in() {
    let mut session = Metering::session(101);
    session.transcribed_by("t");
    for frame in [
        r#"{"type":"input_audio_buffer.committed","item_id":"i1"}"#,
        r#"{"type":"response.created","response":{}}"#,
        r#"{"type":"response.output_text.delta","delta":"a"}"#,
    ] {
        session.frame(frame.as_bytes());
    }
    assert_eq!((session.open_turns(), session.open_transcripts()), (1, 1));
    let transcript = r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i1",
        "usage":{"type":"tokens","input_tokens":9,"output_tokens":3,"total_tokens":12,
        "input_token_details":{"audio_tokens":8,"text_tokens":1}}}"#;
    session.frame(transcript.as_bytes());
    assert!(session.has_transcript() && !session.has_turn());
    let reading = session.take_transcripts().unwrap();
    assert_eq!(reading.usage.get(Meter::OutputTotal), None, "the turn's own is not in it");
    assert_eq!(reading.sub_usage[0].model.as_deref(), Some("t"));
    assert_eq!(reading.sub_usage[0].usage.get(Meter::AudioIn), Some(Exact::from(8)));
    assert!(!reading.needs_a_look() && session.take_transcripts().is_none());
    assert_eq!((session.open_turns(), session.open_transcripts()), (1, 0));
    session.frame(transcript.as_bytes());
    assert!(!session.has_transcript(), "told twice is used once");
    let rest = session.end(End::ClientLeft);
    assert_eq!(
        (rest.usage.get(Meter::OutputTotal), rest.sub_usage.len()),
        (Some(Exact::from(1)), 0)
    );
}

#[test]
fn a_session_that_only_transcribed_leaves_nothing_behind() {
    let mut session = Metering::session(101);
    session.transcribed_by("t");
    session.frame(br#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i","usage":{"type":"duration","seconds":2.5}}"#);
    let reading = session.take_transcripts().unwrap();
    assert_eq!(
        reading.sub_usage[0].usage.get(Meter::Seconds).map(|s| s.to_string()).as_deref(),
        Some("2.5")
    );
    assert!(session.is_untouched());
}

#[test]
fn counted_text_stands_in_for_missing_usage_and_no_count_exceeds_what_was_allowed() {
    let delta = "data: {\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" one two three, four!\"}}]}\n\n";
    let body = delta.repeat(4);
    let new = || Metering::new(Framing::Sse, 200);
    let output = |metering: Metering| {
        let mut reading = read(metering, &body);
        reading.count(None);
        quantity(&reading, Meter::OutputTotal)
    };
    assert_eq!(output(new()).as_deref(), Some("16"), "a word that begins in an event is a token");
    assert_eq!(output(new().with_texts(TEXTS_MAX)).as_deref(), Some("24"));
    assert_eq!(output(new().with_texts(TEXTS_MAX).with_max_output(5)).as_deref(), Some("5"));
    // Past the room, what was kept is counted, and words of the rest.
    assert_eq!(output(new().with_texts(50)).as_deref(), Some("20"));
}

#[test]
fn the_text_of_events_passed_over_is_the_text_of_events_parsed() {
    // An extractor that never matches: every event is parsed for it.
    let never = custom(
        r#"{"name":"never","mode":"additive","when":{"pointer":"/never","equals":"x"},"fields":[]}"#,
    );
    let mut kept = 0;
    for line in include_str!("../../../tests/golden/meter/cut.jsonl").lines() {
        let case = serde_json::from_str::<serde_json::Value>(line).unwrap()["input"].clone();
        let body = case["body"].as_str().unwrap();
        let (framing, body) = match case["transport"].as_str().unwrap() {
            "sse" => (Framing::Sse, body.into()),
            "ndjson" => (Framing::Lines, body.into()),
            "json-array" => (Framing::Json, body.into()),
            "aws-eventstream" => {
                (Framing::EventStream, data_encoding::BASE64.decode(body.as_bytes()).unwrap())
            }
            _ => continue,
        };
        let texts = |mut metering: Metering| {
            metering.chunk(&body);
            let uncounted = metering.end(End::Cut).uncounted;
            uncounted.map(|uncounted| uncounted.texts).unwrap_or_default()
        };
        let passed = texts(Metering::new(framing, 200).with_texts(TEXTS_MAX));
        let parsed = Metering::new(framing, 200).with_custom(Arc::new(never.clone()));
        assert_eq!(passed, texts(parsed.with_texts(TEXTS_MAX)), "{}", case["id"]);
        kept += usize::from(!passed.is_empty());
    }
    assert!(kept > 40, "{kept} of the streams have text");
}

#[test]
fn a_whole_answer_without_usage_is_counted_and_is_a_token_at_least() {
    for (body, tokens) in [
        (r#"{"model":"gpt-4o","choices":[{"message":{"content":"Hello, world!"}}]}"#, Some("4")),
        (
            r#"{"model":"claude-x","type":"message","content":[{"type":"text","text":"Hi"}]}"#,
            Some("1"),
        ),
        (r#"{"model":"gpt-4o","choices":[{"message":{"content":""}}]}"#, None),
    ] {
        let mut reading = read(Metering::new(Framing::Json, 200).with_texts(TEXTS_MAX), body);
        reading.count(None);
        assert_eq!(quantity(&reading, Meter::OutputTotal).as_deref(), tokens, "{body}");
    }
}

#[test]
fn a_running_count_that_covers_the_text_is_not_overruled_by_an_approximation() {
    let event = |text: &str, tokens: u64| {
        format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}]}}}}],\
            \"usageMetadata\":{{\"promptTokenCount\":3,\"candidatesTokenCount\":{tokens},\
            \"totalTokenCount\":{}}},\"modelVersion\":\"gemini-2.5-flash\"}}\n\n",
            tokens + 3
        )
    };
    let body = event("one, two, three, four", 2) + &event("five, six, seven, eight", 4);
    let mut reading = read(Metering::new(Framing::Sse, 200).with_texts(TEXTS_MAX), &body);
    reading.count(None);
    assert_eq!(quantity(&reading, Meter::OutputTotal).as_deref(), Some("4"));
}

#[test]
fn an_opening_event_holds_no_content() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\
        \"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n";
    let delta = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}\n\n";
    let seen = |deltas| {
        read(Metering::new(Framing::Sse, 200), &format!("{start}{}", delta.repeat(deltas)))
            .seen_output
    };
    assert_eq!((seen(0), seen(1), seen(7)), (0, 1, 7));
}

#[test]
fn an_event_wrapped_in_base64_is_read_however_long_it_is() {
    let inner = format!(
        "{{\"type\":\"message_start\",\"message\":{{\"id\":\"{}\",\"model\":\"claude\",\
         \"usage\":{{\"input_tokens\":7,\"output_tokens\":1}}}}}}",
        "m".repeat(3000)
    );
    let data = format!(
        "{{\"bytes\":\"{}\",\"p\":\"abc\"}}",
        data_encoding::BASE64.encode(inner.as_bytes())
    );
    let mut reader = Reader::new(false, false).with_wrapped_events();
    reader.event(b"chunk", data.as_bytes());
    assert_eq!(reader.answer.usage.get(Meter::InputUncached), Some(Exact::from(7)));
    assert_eq!(reader.answer.model.as_deref(), Some("claude"));
}

#[test]
fn a_number_no_table_names_is_kept_and_raises_a_flag() {
    let body = r#"{"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7,"total_time":0.5,
        "new_tokens":3,"details":{"x":{"y":1.5}},"nothing":0,"word":"x","some_cost":0.1}}"#;
    let reading = read(Metering::new(Framing::Json, 200), body);
    let unknown: Vec<(&str, String)> =
        reading.unknown.iter().map(|u| (u.path.as_str(), u.quantity.to_string())).collect();
    assert_eq!(unknown, [("usage/new_tokens", "3".into()), ("usage/details/x/y", "1.5".into())]);
    assert!(reading.needs_a_look() && !reading.suspect);
}

#[test]
fn what_is_billed_by_the_call_or_stands_in_a_list_is_kept_as_unknown() {
    let usage = r#""usage":{"input_tokens":5,"output_tokens":2,"total_tokens":7,"by_voice":[{"voice_tokens":3}]}"#;
    let items = ["file_search_call", "message", "code_interpreter_call", "file_search_call"];
    let items = items.map(|kind| format!(r#"{{"type":"{kind}"}}"#)).join(",");
    let body =
        format!(r#"{{"object":"response","status":"completed","output":[{items}],{usage}}}"#);
    let reading = read(Metering::new(Framing::Json, 200), &body);
    let unknown: Vec<(&str, String)> =
        reading.unknown.iter().map(|u| (u.path.as_str(), u.quantity.to_string())).collect();
    let want = [
        ("usage/by_voice/voice_tokens", "3"),
        ("output/file_search_call", "2"),
        ("output/code_interpreter_call", "1"),
    ];
    assert_eq!(unknown, want.map(|(path, quantity)| (path, quantity.to_owned())));
    assert!(reading.needs_a_look());
}

/// `path` → `{"a":{"b":7}}`, with further keys of value null beside the first.
fn object(path: &str, beside: &[&str]) -> String {
    let inner =
        path.rsplit('/').fold("7".to_owned(), |value, key| format!("{{\"{key}\":{value}}}"));
    let beside = beside.iter().filter(|key| path.split('/').next() != Some(**key));
    let beside: Vec<String> = beside.map(|key| format!("\"{key}\":null,")).collect();
    let beside = beside.concat();
    inner.replacen('{', &format!("{{{beside}"), 1)
}

#[test]
fn every_row_of_every_table_is_reached_in_a_usage_object_of_its_family() {
    let plan = paths::plan();
    for table in tables::ALL {
        // What tells OpenAI's plain `input_tokens` from Anthropic's.
        let openai = table.family == tables::Family::Responses;
        let beside = [table.signs[0], if openai { "type" } else { table.signs[0] }];
        for (field, to) in table.fields {
            let tables::To::Meter(meter) = to else { continue };
            let text = format!("{{\"usage\":{}}}", object(field, &beside));
            let mut counts = super::counts::Counts::default();
            Scanner::default().feed(&plan, text.as_bytes(), &mut |root| {
                let usage = root.get("usage").unwrap();
                counts = super::counts::read(usage, "usage", super::counts::Hint::None);
            });
            assert!(counts.usage.get(*meter) >= Some(Exact::from(7)), "{text}");
            assert!(counts.unknown.is_empty(), "{text}");
        }
    }
}

#[test]
fn the_plan_holds_every_path_once() {
    let plan = Plan::new(["a/b/**", "a/b", "a"]);
    let mut kept = Vec::new();
    Scanner::default()
        .feed(&plan, br#"{"a":{"b":{"c":1},"d":2}}"#, &mut |node| kept.push(node.clone()));
    assert_eq!(kept.first().and_then(|root| root.at("a/b/c")), Some(&Node::Number("1".into())));
    assert_eq!(kept.first().and_then(|root| root.at("a/d")), None);
}

/// A value that an upstream should not write, or should.
fn odd_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u16>().prop_map(|n| n.to_string()),
        prop::sample::select(vec![
            "null",
            "-1",
            "0",
            "0.5",
            "1e3",
            "1e99",
            "9223372036854775808",
            "\"12\"",
            "\"x\"",
            "true",
            "{}",
            "[]",
            "[1]",
            "{\"a\":-0.0}",
            "123456789012345678901234567890",
        ])
        .prop_map(str::to_owned),
    ]
}

/// A usage object of any family's fields, mixed, with odd values, perhaps a field twice.
fn odd_usage() -> impl Strategy<Value = String> {
    let paths: Vec<&str> =
        tables::ALL.iter().flat_map(|table| table.fields.iter().map(|(path, _)| *path)).collect();
    prop::collection::vec((prop::sample::select(paths), odd_value()), 0..8).prop_map(|fields| {
        let field = |(path, value): &(&str, String)| {
            let object = object(path, &[]).replacen('7', value, 1);
            object.strip_prefix('{').and_then(|o| o.strip_suffix('}')).unwrap().to_owned()
        };
        format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
    })
}

proptest! {
    #[test]
    fn s47_odd_usage_is_survived_and_never_negative(
        reports in prop::collection::vec(odd_usage(), 1..4),
        place in prop::sample::select(vec!["usage", "usageMetadata", "message", "response", "x_groq"]),
        kind in prop::sample::select(vec!["", "message_start", "message_delta", "response.done"]),
        session in any::<bool>(),
    ) {
        let event = |usage: &String| match place {
            "usage" | "usageMetadata" => format!("{{\"type\":\"{kind}\",\"{place}\":{usage}}}\n"),
            _ => format!("{{\"type\":\"{kind}\",\"{place}\":{{\"usage\":{usage}}}}}\n"),
        };
        let body: String = reports.iter().map(event).collect();
        let metering = if session { Metering::session(101) } else { Metering::new(Framing::Lines, 200) };
        let reading = read(metering, &body);
        for (meter, measured) in reading.usage.iter() {
            prop_assert!(!measured.quantity.is_negative(), "{meter:?} in {body}");
        }
        prop_assert_eq!(reading.usage.get(Meter::Requests), Some(Exact::from(1)));
        let known = |meter| reading.usage.get(meter);
        if let (Some(total), Some(uncached)) = (known(Meter::InputTotal), known(Meter::InputUncached)) {
            let cached = [Meter::CacheRead, Meter::CacheWrite].map(|meter| known(meter).unwrap_or_default());
            let sum = Exact::sum(cached.into_iter().chain([uncached]));
            prop_assert!(sum == Ok(total) || reading.suspect, "{body}");
        }
    }
}
