//! How many tokens a stream can have used so far, at the very most, and whether its hold has room.

use crate::tokens::TOKENS_PER_BYTE_MAX;
use crate::wire::frame::{Frames, Framing, Sink};

/// Whether a hold has to grow, and to how many output tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// There is room.
    Nothing,
    /// Less than half of what is held ahead is left.
    Soon(u64),
    /// More may have been used than is held for: nothing goes on before the hold has grown.
    Now(u64),
}

/// Follows one stream of events.
#[derive(Debug)]
pub struct Follow {
    frames: Frames,
    seen: Seen,
    covered: u64,
    most: u64,
    ahead: u64,
}

impl Follow {
    /// A stream held for `covered` output tokens, that may have `most` by its own bound, and is to
    /// be held for `ahead` beyond what was seen.
    pub fn new(covered: u64, most: u64, ahead: u64) -> Self {
        let frames = Frames::new(Framing::Sse);
        Self { frames, seen: Seen::default(), covered: covered.min(most), most, ahead }
    }

    /// The next bytes of it, cut anywhere.
    pub fn chunk(&mut self, chunk: &[u8]) {
        self.frames.feed(chunk, &mut self.seen);
    }

    /// Most output tokens that what was seen can be: one for each byte that the model may have
    /// written, and one for each event.
    pub fn at_most(&self) -> u64 {
        self.seen.fresh.max(self.seen.repeated).min(self.most)
    }

    /// Output tokens that are held for.
    pub fn covered(&self) -> u64 {
        self.covered
    }

    /// The hold has grown.
    pub fn cover(&mut self, tokens: u64) {
        self.covered = self.covered.max(tokens).min(self.most);
    }

    /// What the hold needs.
    pub fn need(&self) -> Need {
        let seen = self.at_most();
        let wanted = seen.saturating_add(self.ahead).min(self.most);
        let left = self.covered.saturating_sub(seen);
        if seen > self.covered {
            Need::Now(wanted)
        } else if left < self.ahead.div_ceil(2) && wanted > self.covered {
            Need::Soon(wanted)
        } else {
            Need::Nothing
        }
    }
}

/// Fields whose texts are the API's own, never the model's.
const METADATA: [&[u8]; 24] = [
    b"id",
    b"object",
    b"model",
    b"type",
    b"role",
    b"system_fingerprint",
    b"service_tier",
    b"finish_reason",
    b"obfuscation",
    b"item_id",
    b"response_id",
    b"event_id",
    b"stop_reason",
    b"stop_sequence",
    b"status",
    b"finishReason",
    b"modelVersion",
    b"responseId",
    b"createTime",
    b"modality",
    b"category",
    b"probability",
    b"trafficType",
    b"inference_geo",
];

/// Fields with an object that the model wrote: its names and numbers are tokens too.
const WRITTEN: [&[u8]; 3] = [b"args", b"arguments", b"input"];

/// Tokens at most, by what came.
#[derive(Debug, Default)]
struct Seen {
    fresh: u64,
    /// The same of the events that repeat a whole item; counted instead where they say more.
    repeated: u64,
}

impl Sink for Seen {
    fn event(&mut self, name: &[u8], data: &[u8]) {
        if data.trim_ascii() == b"[DONE]" {
            return;
        }
        let (tokens, kind) = written(data);
        let kind = if name.is_empty() { kind } else { name };
        let tokens = tokens.saturating_mul(TOKENS_PER_BYTE_MAX).saturating_add(1);
        match kind {
            b"response.output_item.done" => self.repeated = self.repeated.saturating_add(tokens),
            kind if repeats(kind) => {}
            _ => self.fresh = self.fresh.saturating_add(tokens),
        }
    }

    fn part(&mut self, data: &[u8]) {
        self.fresh = self.fresh.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
    }

    fn parts_end(&mut self, _name: &[u8]) {
        self.fresh = self.fresh.saturating_add(1);
    }
}

/// Whether an event of the Responses API repeats the request, or what came before it.
fn repeats(kind: &[u8]) -> bool {
    let whole = ["created", "queued", "in_progress", "completed", "incomplete", "failed"];
    kind.strip_prefix(b"response.").is_some_and(|rest| {
        rest.ends_with(b".done") || whole.iter().any(|word| word.as_bytes() == rest)
    })
}

/// Bytes of an event that the model may have written, as they stand in JSON, where escapes only
/// add; and the event's `type`.
fn written(data: &[u8]) -> (u64, &[u8]) {
    let length = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if !matches!(data.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return (length(data), b"");
    }
    let (mut total, mut kind, mut key): (u64, &[u8], &[u8]) = (0, b"", b"");
    let (mut depth, mut whole_from) = (0_u64, None);
    let mut rest = data;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        total = total.saturating_add(u64::from(whole_from.is_some()));
        match byte {
            b'"' => {
                let (text, after) = rest.split_at_checked(text_end(rest)).unwrap_or((rest, b""));
                rest = after.get(1..).unwrap_or_default();
                let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
                let is_key = next == Some(&b':');
                if depth == 1 && !is_key && key == b"type" {
                    kind = text;
                }
                if whole_from.is_some() || !is_key && !METADATA.contains(&key) {
                    total = total.saturating_add(length(text));
                }
                // The quote at its end.
                total = total.saturating_add(u64::from(whole_from.is_some()));
                if is_key {
                    key = text;
                }
            }
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if *byte == b'{' && whole_from.is_none() && WRITTEN.contains(&key) {
                    whole_from = Some(depth);
                }
            }
            b'}' | b']' => {
                if whole_from == Some(depth) {
                    whole_from = None;
                }
                depth = depth.saturating_sub(1);
                key = b"";
            }
            _ => {}
        }
    }
    (total, kind)
}

/// Where a JSON string ends, begun before `bytes`.
fn text_end(bytes: &[u8]) -> usize {
    let mut from = 0_usize;
    loop {
        let rest = bytes.get(from..).unwrap_or_default();
        let Some(at) = memchr::memchr2(b'"', b'\\', rest) else { return bytes.len() };
        if rest.get(at) == Some(&b'"') {
            return from.saturating_add(at);
        }
        from = from.saturating_add(at).saturating_add(2);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;
    use crate::tokens::{Tokeniser, Vocabulary};
    use proptest::prelude::*;

    fn at_most(stream: &str) -> u64 {
        let mut follow = Follow::new(0, u64::MAX, 1);
        follow.chunk(stream.as_bytes());
        follow.at_most()
    }

    #[test]
    fn what_the_model_wrote_is_counted_whatever_api_it_came_by() {
        for (event, most) in [
            (
                concat!(
                    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"#,
                    r#""delta":{"role":"assistant","content":"four"}}]}"#
                ),
                5,
            ),
            (
                r#"data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\"a\":"}}]}}]}"#,
                8,
            ),
            (
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
                     \"delta\":{\"type\":\"text_delta\",\"text\":\"four\"}}",
                5,
            ),
            (
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
                     \"delta\":\"four\",\"obfuscation\":\"xxxxxxxxxx\"}",
                5,
            ),
            (r#"data: {"type":"response.output_text.done","text":"four"}"#, 0),
            (r#"data: {"type":"response.created","response":{"instructions":"be brief"}}"#, 0),
            (
                concat!(
                    r#"data: {"type":"response.output_item.done","item":{"content":[{"text":"unseen b"#,
                    r#"efore"}]}}"#
                ),
                14,
            ),
            (
                r#"data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"n":12}}}]}}]}"#,
                9,
            ),
            (r#"data: {"a":[{"type":"x"},"words"]}"#, 6),
            ("data: words", 6),
            ("data: [DONE]", 0),
        ] {
            assert_eq!(at_most(&format!("{event}\n\n")), most, "{event}");
        }
    }

    #[test]
    fn a_hold_is_asked_to_grow_in_time_and_never_past_the_streams_own_bound() {
        let event = |bytes: usize| format!("data: {{\"t\":\"{}\"}}\n\n", "x".repeat(bytes - 1));
        let mut follow = Follow::new(100, 250, 100);
        assert_eq!(follow.need(), Need::Nothing);
        follow.chunk(event(50).as_bytes());
        assert_eq!(follow.need(), Need::Nothing);
        follow.chunk(event(10).as_bytes());
        assert_eq!(follow.need(), Need::Soon(160));
        follow.chunk(event(41).as_bytes());
        assert_eq!(follow.need(), Need::Now(201));
        follow.cover(201);
        assert_eq!(follow.need(), Need::Nothing);
        follow.chunk(event(99).as_bytes());
        assert_eq!(follow.need(), Need::Soon(250));
        follow.cover(9_999);
        assert_eq!((follow.covered(), follow.need()), (250, Need::Nothing));
        follow.chunk(event(900).as_bytes());
        assert_eq!((follow.at_most(), follow.need()), (250, Need::Nothing));
    }

    proptest! {
        #[test]
        fn the_bound_is_never_below_the_true_count(
            texts in prop::collection::vec("\\PC{0,40}", 1..8), cut in 1_usize..64,
        ) {
            let mut stream = String::new();
            let mut whole = String::new();
            for text in &texts {
                let content = serde_json::to_string(text).unwrap();
                let delta = format!("{{\"delta\":{{\"content\":{content}}}}}");
                stream.push_str(&format!("data: {{\"id\":\"x\",\"choices\":[{delta}]}}\n\n"));
                whole.push_str(text);
            }
            let mut follow = Follow::new(0, u64::MAX, 1);
            stream.as_bytes().chunks(cut).for_each(|chunk| follow.chunk(chunk));
            prop_assert_eq!(follow.at_most(), at_most(&stream));
            for vocabulary in Vocabulary::ALL {
                let tokens = Tokeniser::of(vocabulary).unwrap().count(&whole).at_least;
                prop_assert!(tokens <= follow.at_most());
            }
        }
    }
}
