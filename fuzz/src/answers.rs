//! Answers: read the same wherever they are cut, in bounded memory, and passed on untouched.

use data_encoding::BASE64;
use farebox::meter::{End, Framing, Metering, Reading};
use farebox::money::Exact;
use farebox::wire::job::Job;
use farebox::wire::strip::Strip;
use farebox::wire::usage::Meter;

use crate::{Pieces, bounded};

/// Who serves, where a reading depends on it.
const PROVIDERS: [&str; 4] = ["openai", "xai", "bedrock", "gemini"];
/// A stream is repeated to this length, to see that what is kept of it does not grow along.
const LONG: usize = 512 * 1024;

fn options(input: &[u8]) -> Option<(u8, u8, &[u8])> {
    match input {
        [options, seed, body @ ..] if !body.is_empty() => Some((*options, *seed, body)),
        _ => None,
    }
}

fn ended<'b>(new: &dyn Fn() -> Metering, pieces: impl Iterator<Item = &'b [u8]>) -> Reading {
    let mut metering = new();
    pieces.for_each(|piece| metering.chunk(piece));
    metering.end(End::Eof)
}

/// Reads the body whole and in pieces, and a long repetition of it in bounded memory.
fn check(framing: Framing, options: u8, seed: u8, body: &[u8]) {
    let provider = PROVIDERS[usize::from(options >> 6)];
    let new = move || Metering::new(framing, 200).with_provider(provider);
    let whole = bounded(|| ended(&new, core::iter::once(body)));
    let pieces = bounded(|| ended(&new, Pieces::new(body, seed)));
    assert_eq!(whole, pieces, "where the bytes are cut changes nothing");
    sound(&whole);
    // One in four, for it costs a hundred times as much.
    if options & 3 == 3 {
        let times = (LONG / body.len()).clamp(1, 4096);
        bounded(|| ended(&new, core::iter::repeat_n(body, times)));
    }
}

/// What holds of every reading.
fn sound(reading: &Reading) {
    for (meter, measured) in reading.usage.iter() {
        assert!(!measured.quantity.is_negative(), "{meter:?} is negative");
    }
    assert_eq!(reading.usage.get(Meter::Requests), Some(Exact::from(1)));
    let floor = Exact::from(reading.seen_output);
    if !reading.is_final && reading.seen_output > 0 {
        assert!(reading.usage.get(Meter::OutputTotal) >= Some(floor), "less than was seen");
    }
}

/// Server-sent events, and the removal of the usage chunk from them.
pub fn sse(input: &[u8]) {
    let Some((options, seed, body)) = options(input) else { return };
    check(Framing::Sse, options, seed, body);
    let strip = |pieces: Pieces<'_>| {
        let mut strip = Strip::default();
        let mut out: Vec<u8> = pieces.flat_map(|piece| strip.feed(piece)).collect();
        out.extend(strip.end());
        out
    };
    let whole = strip(Pieces::new(body, 0));
    assert_eq!(whole, strip(Pieces::new(body, seed)), "stripped the same wherever it is cut");
    if !body.windows(7).any(|word| word == b"\"usage\"") {
        assert_eq!(whole, body, "without a usage, every byte passes");
    }
    let mut rest = body.iter();
    assert!(whole.iter().all(|byte| rest.any(|sent| sent == byte)), "bytes that nobody sent");
}

/// One JSON value, several, or a list; and the name of a job in it.
pub fn json(input: &[u8]) {
    let Some((options, seed, body)) = options(input) else { return };
    check(Framing::Json, options, seed, body);
    Job::read(body);
}

/// A value a line; or, with the second bit, the frames of a session, turn by turn.
pub fn lines(input: &[u8]) {
    let Some((options, seed, body)) = options(input) else { return };
    if options & 4 == 0 {
        check(Framing::Lines, options, seed, body);
        return;
    }
    let mut session = Metering::session(101);
    for frame in body.split(|byte| *byte == b'\n') {
        let open = session.open_turns();
        bounded(|| session.frame(frame));
        assert!(session.open_turns() <= open + 1, "one frame begins one turn");
        if session.has_turn() {
            sound(&session.take_turn());
            assert!(!session.has_turn(), "a turn is taken once");
        }
    }
    sound(&session.end(End::ClientLeft));
}

/// Names of events, by the first byte of a line.
const EVENTS: [&str; 8] = [
    "chunk",
    "metadata",
    "messageStart",
    "contentBlockDelta",
    "messageStop",
    "payloadPart",
    "initial-response",
    "x",
];

/// AWS event stream: the bytes as they are, or each line of them in a frame with sums that are right.
pub fn event_stream(input: &[u8]) {
    let Some((options, seed, body)) = options(input) else { return };
    if options & 4 == 0 {
        check(Framing::EventStream, options, seed, body);
        return;
    }
    let mut bytes = Vec::new();
    for line in body.split(|byte| *byte == b'\n') {
        let (first, payload) = line.split_first().unwrap_or((&b'0', line));
        let name = EVENTS[usize::from(*first) % EVENTS.len()];
        let kind = if *first & 0x40 == 0 { ":event-type" } else { ":exception-type" };
        if name == "chunk" && *first & 0x20 != 0 {
            let wrapped = format!("{{\"bytes\":\"{}\"}}", BASE64.encode(payload));
            frame(&mut bytes, kind, name, wrapped.as_bytes());
        } else {
            frame(&mut bytes, kind, name, payload);
        }
    }
    check(Framing::EventStream, options, seed, &bytes);
}

fn frame(out: &mut Vec<u8>, kind: &str, name: &str, payload: &[u8]) {
    let mut headers = Vec::new();
    for (name, value) in [(kind, name), (":content-type", "application/json")] {
        headers.push(name.len() as u8);
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut frame = ((16 + headers.len() + payload.len()) as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&headers);
    frame.extend_from_slice(payload);
    let sum = crc32fast::hash(&frame).to_be_bytes();
    frame.extend_from_slice(&sum);
    out.extend_from_slice(&frame);
}
