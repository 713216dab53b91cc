//! The last words of a stream that was stopped, as its own API says them, so that SDKs end cleanly:
//! the answer got as long as it may.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::wire::frame::{Frames, Framing, Sink};
use crate::wire::route::Endpoint;

/// Text of a Responses answer that is kept to be repeated at its end, as that API does; beyond, the
/// end comes without it.
const TEXT_MAX: usize = 256 * 1024;
/// Choices, blocks or items of one answer that are closed; no API has more at once.
const OPEN_MAX: usize = 128;

/// Follows a stream of events, to be able to end it at any moment.
#[derive(Debug)]
pub struct Ending {
    frames: Frames,
    told: Told,
}

/// What was told so far, as far as an end repeats it.
#[derive(Debug)]
struct Told {
    endpoint: Endpoint,
    usage_asked: bool,
    /// Fields that every event of the stream repeats, or the Responses API's answer as it began.
    head: Map<String, Value>,
    /// Choices or blocks that are not closed.
    open: BTreeSet<u64>,
    /// Texts of a Responses answer by their item.
    texts: BTreeMap<u64, (Value, String)>,
    text_bytes: usize,
    sequence: u64,
    is_over: bool,
}

impl Ending {
    /// For a stream of this endpoint; `usage_asked`: chat's client asked for its usage.
    pub fn new(endpoint: Endpoint, usage_asked: bool) -> Self {
        let told = Told {
            endpoint,
            usage_asked,
            head: Map::new(),
            open: BTreeSet::new(),
            texts: BTreeMap::new(),
            text_bytes: 0,
            sequence: 0,
            is_over: false,
        };
        Self { frames: Frames::new(Framing::Sse), told }
    }

    /// Of a stream that has its end already.
    pub fn over() -> Self {
        let mut over = Self::new(Endpoint::Chat, false);
        over.told.is_over = true;
        over
    }

    /// What the client was given, cut anywhere.
    pub fn chunk(&mut self, chunk: &[u8]) {
        self.frames.feed(chunk, &mut self.told);
    }

    /// The events that end the stream, with its usage as counted. Empty where it has ended.
    pub fn end(self, input: u64, output: u64) -> String {
        let told = self.told;
        if told.is_over {
            return String::new();
        }
        match told.endpoint {
            Endpoint::Chat | Endpoint::Completions => told.end_chat(input, output),
            Endpoint::Responses => told.end_response(input, output),
            Endpoint::Messages => told.end_message(output),
            Endpoint::Generate => told.end_candidates(input, output),
            _ => String::new(),
        }
    }
}

impl Sink for Told {
    fn event(&mut self, _name: &[u8], data: &[u8]) {
        if data.trim_ascii() == b"[DONE]" {
            self.is_over = true;
            return;
        }
        // What is not an object changes nothing here.
        let Ok(Value::Object(event)) = serde_json::from_slice(data) else { return };
        match self.endpoint {
            Endpoint::Responses => self.see_response(event),
            Endpoint::Messages => self.see_message(&event),
            _ => self.see_choices(event),
        }
    }

    fn part(&mut self, _data: &[u8]) {}

    fn parts_end(&mut self, _name: &[u8]) {}
}

fn index(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

impl Told {
    fn opened(&mut self, index: u64) {
        if self.open.len() < OPEN_MAX {
            self.open.insert(index);
        }
    }

    /// Chat, completions and Gemini: every event has the choices it adds to.
    fn see_choices(&mut self, mut event: Map<String, Value>) {
        let list = if self.endpoint == Endpoint::Generate { "candidates" } else { "choices" };
        let reason =
            if self.endpoint == Endpoint::Generate { "finishReason" } else { "finish_reason" };
        let choices = event.remove(list);
        for choice in choices.iter().filter_map(Value::as_array).flatten() {
            let at = index(choice, "index");
            match choice.get(reason) {
                None | Some(Value::Null) => self.opened(at),
                Some(_) => drop(self.open.remove(&at)),
            }
        }
        if self.head.is_empty() {
            for name in ["usage", "usageMetadata", "obfuscation", "prompt_filter_results"] {
                event.remove(name);
            }
            self.head = event;
        }
    }

    fn end_chat(mut self, input: u64, output: u64) -> String {
        let is_chat = self.endpoint == Endpoint::Chat;
        self.head.entry("object").or_insert_with(|| {
            if is_chat { "chat.completion.chunk" } else { "text_completion" }.into()
        });
        let mut out = String::new();
        let mut say = |head: &Map<String, Value>, choices: Value, usage: Option<Value>| {
            let mut event = head.clone();
            event.insert("choices".into(), choices);
            if let Some(usage) = usage {
                event.insert("usage".into(), usage);
            }
            out.push_str(&format!("data: {}\n\n", Value::Object(event)));
        };
        let null = self.usage_asked.then_some(Value::Null);
        for at in &self.open {
            let choice = if is_chat {
                json!({ "index": at, "delta": {}, "logprobs": null, "finish_reason": "length" })
            } else {
                json!({ "index": at, "text": "", "logprobs": null, "finish_reason": "length" })
            };
            say(&self.head, json!([choice]), null.clone());
        }
        if self.usage_asked {
            let usage = json!({
                "prompt_tokens": input, "completion_tokens": output,
                "total_tokens": input.saturating_add(output),
            });
            say(&self.head, json!([]), Some(usage));
        }
        out.push_str("data: [DONE]\n\n");
        out
    }

    fn end_candidates(mut self, input: u64, output: u64) -> String {
        let candidate = |at: &u64| {
            json!({
                "content": { "parts": [{ "text": "" }], "role": "model" },
                "finishReason": "MAX_TOKENS", "index": at,
            })
        };
        let candidates: Vec<Value> = self.open.iter().map(candidate).collect();
        let usage = json!({
            "promptTokenCount": input, "candidatesTokenCount": output,
            "totalTokenCount": input.saturating_add(output),
        });
        self.head.insert("candidates".into(), candidates.into());
        self.head.insert("usageMetadata".into(), usage);
        format!("data: {}\n\n", Value::Object(self.head))
    }

    fn see_message(&mut self, event: &Map<String, Value>) {
        let at = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str) {
            Some("content_block_start") => self.opened(at),
            Some("content_block_stop") => drop(self.open.remove(&at)),
            Some("message_stop" | "error") => self.is_over = true,
            _ => {}
        }
    }

    fn end_message(self, output: u64) -> String {
        let mut out = String::new();
        let mut say = |kind: &str, event: Value| {
            out.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
        };
        for at in &self.open {
            say("content_block_stop", json!({ "type": "content_block_stop", "index": at }));
        }
        let delta = json!({ "stop_reason": "max_tokens", "stop_sequence": null });
        let usage = json!({ "output_tokens": output });
        say("message_delta", json!({ "type": "message_delta", "delta": delta, "usage": usage }));
        say("message_stop", json!({ "type": "message_stop" }));
        out
    }

    fn see_response(&mut self, mut event: Map<String, Value>) {
        let number = event.get("sequence_number").and_then(Value::as_u64);
        self.sequence = self.sequence.max(number.unwrap_or(0));
        let at = event.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str) {
            Some("response.created") => {
                if let Some(Value::Object(response)) = event.remove("response") {
                    self.head = response;
                }
            }
            Some("response.output_text.delta") => {
                let delta = event.get("delta").and_then(Value::as_str).unwrap_or_default();
                self.text_bytes = self.text_bytes.saturating_add(delta.len());
                if self.texts.len() < OPEN_MAX && self.text_bytes <= TEXT_MAX {
                    let item = event.get("item_id").cloned().unwrap_or_default();
                    let text = self.texts.entry(at).or_insert_with(|| (item, String::new()));
                    text.1.push_str(delta);
                }
            }
            Some("response.completed" | "response.incomplete" | "response.failed" | "error") => {
                self.is_over = true;
            }
            _ => {}
        }
    }

    fn end_response(mut self, input: u64, output: u64) -> String {
        let whole = self.text_bytes <= TEXT_MAX;
        let item = |(id, text): &(Value, String)| {
            let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
            json!({
                "id": id, "type": "message", "role": "assistant", "status": "incomplete",
                "content": content,
            })
        };
        let items: Vec<Value> = self.texts.values().filter(|_| whole).map(item).collect();
        let details = json!({ "reason": "max_output_tokens" });
        self.head.insert("status".into(), "incomplete".into());
        self.head.insert("incomplete_details".into(), details);
        self.head.insert("output".into(), items.into());
        let usage = json!({
            "input_tokens": input, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input.saturating_add(output),
        });
        self.head.insert("usage".into(), usage);
        let event = json!({
            "type": "response.incomplete", "sequence_number": self.sequence.saturating_add(1),
            "response": self.head,
        });
        format!("event: response.incomplete\ndata: {event}\n\n")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::meter::{End, Metering, Outcome};

    fn ended(endpoint: Endpoint, usage: bool, stream: &str) -> String {
        let mut ending = Ending::new(endpoint, usage);
        stream.as_bytes().chunks(7).for_each(|chunk| ending.chunk(chunk));
        ending.end(11, 5)
    }

    fn datas(text: &str) -> Vec<Value> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
        lines
            .filter(|line| *line != "[DONE]")
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    const CHAT: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"m\",\
         \"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":null},\
         {\"index\":1,\"delta\":{\"content\":\"b\"}}],\"usage\":null}\n\ndata: {\"id\":\"c1\",\
         \"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

    #[test]
    fn chat_ends_each_open_choice_with_length_then_its_usage_where_that_was_asked_for() {
        let out = ended(Endpoint::Chat, true, CHAT);
        let events = datas(&out);
        assert_eq!(events[0]["choices"][0]["finish_reason"], "length");
        assert_eq!((&events[0]["id"], &events[0]["created"]), (&json!("c1"), &json!(17)));
        assert_eq!(
            (&events[1]["choices"], &events[1]["usage"]["total_tokens"]),
            (&json!([]), &json!(16))
        );
        assert!(events.len() == 2 && out.ends_with("data: [DONE]\n\n"));
        assert_eq!(datas(&ended(Endpoint::Chat, false, CHAT)).len(), 1);
        assert_eq!(ended(Endpoint::Chat, true, &format!("{CHAT}data: [DONE]\n\n")), "");
    }

    #[test]
    fn a_message_closes_its_block_and_says_max_tokens() {
        let stream = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":2,\
             \"content_block\":{}}\n\n";
        let events = datas(&ended(Endpoint::Messages, false, stream));
        assert_eq!(
            (&events[0]["type"], &events[0]["index"]),
            (&json!("content_block_stop"), &json!(2))
        );
        assert_eq!(events[1]["delta"]["stop_reason"], "max_tokens");
        assert_eq!(events[1]["usage"]["output_tokens"], 5);
        assert_eq!(events[2]["type"], "message_stop");
    }

    #[test]
    fn s44_a_response_is_incomplete_with_the_text_that_came() {
        let stream = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\
             \"response\":{\"id\":\"r\",\"status\":\"in_progress\"}}\n\nevent: response.output_text.delta\nd\
             ata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"output_index\":0,\
             \"item_id\":\"i\",\"delta\":\"so\\r\\n\\ndata: far\"}\n\n";
        let events = datas(&ended(Endpoint::Responses, false, stream));
        let response = &events[0]["response"];
        assert_eq!(
            (&events[0]["type"], &events[0]["sequence_number"]),
            (&json!("response.incomplete"), &json!(5))
        );
        assert_eq!((&response["id"], &response["status"]), (&json!("r"), &json!("incomplete")));
        assert_eq!(response["output"][0]["content"][0]["text"], "so\r\n\ndata: far");
    }

    #[test]
    fn a_candidate_finishes_with_max_tokens() {
        let stream = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"index\":0}],\
             \"modelVersion\":\"g\"}\r\n\r\n";
        let events = datas(&ended(Endpoint::Generate, false, stream));
        assert_eq!(events[0]["candidates"][0]["finishReason"], "MAX_TOKENS");
        assert_eq!(
            (&events[0]["modelVersion"], &events[0]["usageMetadata"]["totalTokenCount"]),
            (&json!("g"), &json!(16))
        );
    }

    #[test]
    fn our_own_meter_takes_the_end_for_one() {
        let message = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"output_tokens\":\
             1}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"\
             ,\"text\":\"\"}}\n\n";
        for (endpoint, stream) in [(Endpoint::Chat, CHAT), (Endpoint::Messages, message)] {
            let mut meter = Metering::new(Framing::Sse, 200);
            meter.chunk(format!("{stream}{}", ended(endpoint, true, stream)).as_bytes());
            let reading = meter.end(End::Eof);
            assert!(
                matches!(reading.outcome, Outcome::Complete | Outcome::Incomplete),
                "{reading:?}"
            );
            assert!(reading.usage_present);
        }
    }
}
