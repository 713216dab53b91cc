//! Ten megabytes of the most awkward bytes take ten times as long as one megabyte of them, not a
//! hundred times: nobody can stop the meter, or the gate, by a line. `make test` looks at lines of
//! a megabyte, since a build without optimisation is slow; `make fuzz` at ten megabytes.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::print_stdout)]
#![allow(clippy::arithmetic_side_effects, clippy::float_arithmetic)]

use std::time::{Duration, Instant};

use farebox::meter::{End, Framing, Metering};
use farebox::wire::query::{parameters, unmetered};
use farebox::wire::request::{Request, inspect, with_usage_asked};
use farebox::wire::route::{Api, Route};
use farebox::wire::strip::Strip;

/// A short line; the long one is ten of it.
const SHORT: usize = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Looks at each line, at most: the quickest counts, for what else the machine does only adds.
const LOOKS_MAX: usize = 9;
/// As an upstream's bytes come: what one read of a network gives.
const CHUNK: usize = 16_384;

/// `head`, then `unit` again and again, up to a length.
fn line(head: &str, unit: &str, length: usize) -> Vec<u8> {
    let times = length.div_ceil(unit.len());
    [head.as_bytes(), unit.repeat(times).as_bytes()].concat()
}

fn metered(new: impl Fn() -> Metering) -> impl Fn(&[u8]) {
    move |bytes| {
        let mut metering = new();
        bytes.chunks(CHUNK).for_each(|chunk| metering.chunk(chunk));
        metering.end(End::Eof);
    }
}

fn asked(path: &'static str, content_type: &'static str) -> impl Fn(&[u8]) {
    move |body| {
        let route = Route::of(path).unwrap();
        let _ = inspect(&Request { route, query: "", content_type, body });
    }
}

/// What JSON can hide behind: depth, escapes, keys that are looked for, lists, numbers.
const JSON: [(&str, &str); 8] = [
    ("", "["),
    ("", "{\"usage\":"),
    ("{\"usage\":{\"a\":\"", "\\\\"),
    ("{\"choices\":[", "{\"delta\":{\"content\":\"a\"}},"),
    ("{\"usage\":{\"x\":[", "1,"),
    ("{", "\"usage\":{},"),
    ("{\"\\u0075sage", "\\u0075"),
    ("{\"n\":", "9"),
];

fn timed(read: &dyn Fn(&[u8]), bytes: &[u8]) -> Duration {
    let began = Instant::now();
    read(bytes);
    began.elapsed()
}

/// One long line beside ten short ones: as many bytes, and as long a look, so that what else the
/// machine does slows both. A quadratic reader takes ten times as long for the long one.
fn check(name: &str, read: &dyn Fn(&[u8]), lines: &[(&str, &str)]) {
    let (mut slowest, mut steepest) = (Duration::ZERO, 0.0_f64);
    for (head, unit) in lines {
        let (short, long) = (line(head, unit, SHORT), line(head, unit, 10 * SHORT));
        let ten_short = |_: &[u8]| (0..10).for_each(|_| read(&short));
        let (mut ten, mut one) = (Duration::MAX, Duration::MAX);
        let in_proportion = (0..LOOKS_MAX).any(|_| {
            ten = ten.min(timed(&ten_short, &[]));
            one = one.min(timed(read, &long));
            // Two milliseconds are no time: one change of what runs takes as long.
            one < ten * 2 + Duration::from_millis(2)
        });
        assert!(in_proportion, "{name}: {head:?} and then {unit:?}: {one:?}, ten short: {ten:?}");
        slowest = slowest.max(one);
        steepest = steepest.max(one.as_secs_f64() / ten.as_secs_f64());
    }
    let per_mb = slowest * 1_000_000 / u32::try_from(10 * SHORT).unwrap();
    println!("{name}: at worst {per_mb:?} for each MB, {steepest:.2} of what ten short lines take");
}

#[test]
fn an_answers_line_of_any_length_takes_time_in_proportion() {
    let sse = metered(|| Metering::new(Framing::Sse, 200));
    check(
        "sse",
        &sse,
        &[("", "data: {\"usage\":"), ("data: ", "{\"usage\":"), ("", "\r"), ("", ":")],
    );
    check(
        "sse",
        &sse,
        &[
            ("", "data\n"),
            ("", "data: {\"choices\":[{\"delta\":{\"content\":\""),
            ("", "event: x\n\n"),
        ],
    );
    check("json", &metered(|| Metering::new(Framing::Json, 200)), &JSON);
    let lines = metered(|| Metering::new(Framing::Lines, 200));
    check("lines", &lines, &JSON);
    check("lines", &lines, &[("", "\n"), ("", "{\"usage\":{\"prompt_tokens\":1}}\n")]);
    check(
        "session",
        &metered(|| Metering::session(101)),
        &[("", "{\"type\":\"response.created\"}\n"), ("", "{\"usage\":")],
    );
    check(
        "event stream",
        &metered(|| Metering::new(Framing::EventStream, 200)),
        &[("\0\u{7f}", "\0"), ("", "\0\0\0\u{10}")],
    );
    let strip = |bytes: &[u8]| {
        let mut strip = Strip::default();
        bytes.chunks(CHUNK).for_each(|chunk| drop(strip.feed(chunk)));
        strip.end();
    };
    check(
        "strip",
        &strip,
        &[("data: ", "\"usage\":{"), ("", "\n"), ("", "\r\n\r"), ("", "\"choices\"\n\n")],
    );
}

#[test]
fn a_requests_line_of_any_length_takes_time_in_proportion() {
    check("chat", &asked("/v1/chat/completions", "application/json"), &JSON);
    let messages = [
        ("{\"messages\":[", "{\"content\":[{\"text\":\"a b\"}]},"),
        ("{\"messages\":[{\"content\":\"", "a b "),
    ];
    check("chat", &asked("/v1/chat/completions", "application/json"), &messages);
    let usage = |body: &[u8]| drop(with_usage_asked(body));
    check("usage asked", &usage, &[("{\"a\":\"", "\\\\"), ("{", "\"stream_options\":null,")]);
    let form = asked("/v1/images/edits", "multipart/form-data; boundary=b");
    check(
        "form",
        &form,
        &[
            ("--b", "\r\n--b"),
            ("--b\r\n", "\r\n"),
            ("--b\r\n", "Content-Disposition: form-data; name=\"x\";"),
            ("--b\r\n\r\n", "\r\n--b\r\n\r\n"),
        ],
    );
    let query = |bytes: &[u8]| {
        let text = core::str::from_utf8(bytes).unwrap();
        parameters(text).for_each(drop);
        unmetered(text, Api::Google);
        Route::of(text);
    };
    check("query", &query, &[("", "&"), ("", "%"), ("", "a=%61&"), ("", "+"), ("", "/models/")]);
}
