//! Answers that repeat, contradict or never finish what they say they used, by the numbers of
//! `docs/faults.md`.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

use farebox::meter::{End, Framing, Metering, Outcome, Reading};
use farebox::wire::usage::{Meter, Provenance};

fn read(body: &str) -> Reading {
    let mut metering = Metering::new(Framing::Sse, 200);
    metering.chunk(body.as_bytes());
    metering.end(End::Eof)
}

/// What is charged for the output, and by whose word.
fn output(reading: &Reading) -> (String, Provenance) {
    let mut all = reading.usage.iter();
    let (_, measured) = all.find(|(meter, _)| *meter == Meter::OutputTotal).unwrap();
    (measured.quantity.to_string(), measured.provenance)
}

fn delta(text: &str) -> String {
    format!(
        "data: {{\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"
    )
}

fn usage(output: u64) -> String {
    let total = output + 9;
    format!(
        "data: {{\"model\":\"m\",\"choices\":[],\"usage\":{{\"prompt_tokens\":9,\
         \"completion_tokens\":{output},\"total_tokens\":{total}}}}}\n\n"
    )
}

const FINISH: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn chat(parts: &[&str]) -> Reading {
    read(&(parts.concat() + DONE))
}

/// Anthropic's way: a start, some text, running totals, an end.
fn messages(totals: &[u64]) -> Reading {
    messages_with("", totals)
}

fn messages_with(content: &str, totals: &[u64]) -> Reading {
    let mut body = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\
         \"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n",
    );
    body.push_str(content);
    for total in totals {
        body.push_str(&format!(
            "event: message_delta\ndata: {{\"type\":\"message_delta\",\
             \"delta\":{{\"stop_reason\":\"end_turn\"}},\"usage\":{{\"output_tokens\":{total}}}}}\n\n"
        ));
    }
    body.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    read(&body)
}

#[test]
fn f15_usage_told_twice_counts_once() {
    let once = chat(&[&delta("one"), FINISH, &usage(5)]);
    let twice = chat(&[&delta("one"), FINISH, &usage(5), &usage(5)]);
    assert_eq!(output(&once), ("5".into(), Provenance::Reported));
    assert_eq!((output(&twice), twice.suspect), (output(&once), false));
}

#[test]
fn f16_a_running_total_counts_at_its_last_word_and_one_that_falls_is_suspect() {
    let rising = messages(&[3, 5, 12]);
    assert_eq!((output(&rising), rising.suspect), (("12".into(), Provenance::Reported), false));
    for falling in [
        chat(&[&delta("one"), &usage(12), FINISH, &usage(5)]),
        messages(&[12, 5]),
        messages(&[3, 12, 5]),
    ] {
        assert_eq!((output(&falling), falling.suspect), (("5".into(), Provenance::Reported), true));
    }
    // The opening's count is a placeholder, whatever it says.
    let lower = messages(&[0]);
    assert_eq!((output(&lower), lower.suspect), (("0".into(), Provenance::Reported), false));
    // A zero after more is a gateway's blank.
    let blank = messages(&[12, 0]);
    assert_eq!((output(&blank), blank.suspect), (("12".into(), Provenance::Reported), true));
}

#[test]
fn f16_a_total_that_falls_is_never_less_than_what_passed() {
    let text = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                \"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n";
    let reading = messages_with(&text.repeat(20), &[30, 5]);
    assert_eq!((output(&reading), reading.suspect), (("20".into(), Provenance::Counted), true));
}

#[test]
fn f16_any_running_total_of_any_api_that_falls_is_suspect() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\
                 \"usage\":{\"input_tokens\":90,\"cache_read_input_tokens\":10,\"output_tokens\":1}}}\n\n";
    let total = |usage: &str| {
        format!(
            "event: message_delta\ndata: {{\"type\":\"message_delta\",\"usage\":{{{usage}}}}}\n\n"
        )
    };
    let gemini = |tokens: u64, end: &str| {
        let all = tokens + 9;
        format!(
            "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"a\"}}]}}{end}}}],\
             \"usageMetadata\":{{\"promptTokenCount\":9,\"candidatesTokenCount\":{tokens},\
             \"totalTokenCount\":{all}}},\"modelVersion\":\"m\"}}\n\n"
        )
    };
    let gemini = |counts: [u64; 4]| {
        let [first, second, third, last] = counts.map(|count| gemini(count, ""));
        let end = gemini(counts[3], ",\"finishReason\":\"STOP\"");
        first + &second + &third + &last + &end
    };
    let running = |tokens: u64| {
        usage(tokens).replace(
            "\"choices\":[]",
            "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]",
        )
    };
    let vllm = |counts: [u64; 4]| delta("a") + &counts.map(running).concat() + FINISH + &usage(20);
    let web = "\"output_tokens\":5,\"server_tool_use\":{\"web_search_requests\":";
    for (what, body, suspect) in [
        ("input", start.to_owned() + &total("\"input_tokens\":80,\"output_tokens\":5"), true),
        (
            "input that moved to the cache",
            start.to_owned()
                + &total("\"input_tokens\":80,\"cache_read_input_tokens\":20,\"output_tokens\":5"),
            false,
        ),
        (
            "searches",
            start.to_owned() + &total(&format!("{web}2}}")) + &total(&format!("{web}1}}")),
            true,
        ),
        ("Gemini rising", gemini([1, 2, 3, 4]), false),
        ("Gemini falling and rising again", gemini([1, 3, 2, 4]), true),
        ("chat rising", vllm([1, 2, 3, 4]), false),
        ("chat falling and rising again", vllm([1, 3, 2, 4]), true),
        (
            "choices that each count for themselves",
            delta("a")
                + &running(3)
                + &running(2).replace("\"index\":0", "\"index\":1")
                + &running(4)
                + FINISH
                + &usage(20),
            false,
        ),
        ("chat's input", usage(5).replace(":9,", ":19,") + FINISH + &usage(5), true),
    ] {
        assert_eq!(read(&body).suspect, suspect, "{what}");
    }
}

#[test]
fn f17_a_final_report_stands_and_one_that_is_not_is_no_less_than_what_passed() {
    let text: String = (0..40).map(|_| delta("word ")).collect();
    let last = chat(&[&text, FINISH, &usage(3)]);
    assert_eq!(output(&last), ("3".into(), Provenance::Reported));
    let early = chat(&[&usage(3), &text, FINISH]);
    assert_eq!(output(&early), ("40".into(), Provenance::Counted));
}

#[test]
fn f19_an_answer_that_ends_without_usage_is_charged_what_was_seen() {
    let silent = chat(&[&delta("one"), &delta(" two"), FINISH]);
    assert_eq!(output(&silent), ("2".into(), Provenance::Counted));
    assert_eq!((silent.outcome, silent.usage_present), (Outcome::NoUsage, false));
}

#[test]
fn f20_usage_amid_a_stream_gives_way_to_the_last() {
    let reading = chat(&[&delta("one"), &usage(1), &delta(" two"), &usage(2), FINISH, &usage(7)]);
    assert_eq!((output(&reading), reading.suspect), (("7".into(), Provenance::Reported), false));
}

#[test]
fn f27_a_usage_over_several_lines_of_data_is_one() {
    let lines = usage(5)
        .replace(",\"usage\"", ",\ndata: \"usage\"")
        .replace(":{\"prompt", ":{\ndata:\"prompt");
    assert_eq!(lines.matches("data:").count(), 3);
    assert_eq!(output(&chat(&[&delta("one"), FINISH, &lines])), ("5".into(), Provenance::Reported));
}

#[test]
fn r13_usage_that_comes_after_the_finish_reason_is_read() {
    let reading = chat(&[&delta("one"), FINISH, &usage(345)]);
    assert_eq!(output(&reading), ("345".into(), Provenance::Reported));
    assert!(reading.is_final);
}
