//! Batches: many requests in one body. Each is read as strictly as if it had been sent alone.

mod begin;
mod gemini;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use begin::{NewBatch, Uploaded};
use gemini::{GeminiBatch, GeminiBody};

use super::inspect::{Ask, Request, inspect};
use super::{BadRequest, bad, fields};
use crate::record::Digest;
use crate::wire::route::{Api, Endpoint, Route};

/// Most requests in one batch: Anthropic's own bound, and twice OpenAI's.
const LINES_MAX: usize = 100_000;

/// The requests of one batch, read one after the other.
pub struct Requests<'a> {
    items: std::vec::IntoIter<&'a [u8]>,
    form: Form,
    at: u64,
    /// Marks of the custom ids so far: a line is charged once by its own.
    ids: HashSet<[u8; 16]>,
    /// Where every line so far is sent.
    pub endpoint: Option<String>,
}

/// How requests are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines of a file, OpenAI's or Mistral's.
    Lines,
    /// Items of an Anthropic body.
    Anthropic,
    /// Items of a Gemini body.
    Gemini,
}

/// One line of a file. Mistral's lines do not say where they go: the job does, later.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileLine<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// One of the requests of an Anthropic batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InlineItem<'a> {
    #[serde(borrow)]
    custom_id: Cow<'a, str>,
    #[serde(borrow)]
    params: &'a RawValue,
}

/// One of the requests of a Gemini batch. Answers come in the order of the requests, and are told
/// apart by it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GeminiItem<'a> {
    #[serde(borrow)]
    request: &'a RawValue,
    #[serde(rename = "metadata", default)]
    _metadata: IgnoredAny,
}

/// A list of values as they are written; one that is too long is not read to its end.
struct Items<'a>(Vec<&'a [u8]>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of requests")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<&'de RawValue>()? {
                    items.push(item.get().as_bytes());
                    if items.len() > LINES_MAX {
                        return Err(de::Error::custom("too many requests in one batch"));
                    }
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

impl<'a> Requests<'a> {
    /// Those of an Anthropic batch: `{"requests": [{"custom_id", "params"}, …]}`.
    pub fn inline(body: &'a [u8]) -> Result<Self, BadRequest> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body<'a> {
            #[serde(borrow)]
            requests: Items<'a>,
        }
        let body: Body<'a> = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return bad(None, format!("The request body cannot be read: {error}.")),
        };
        Self::new(body.requests.0, Form::Anthropic)
    }

    /// Those of a Gemini batch of a model:
    /// `{"batch": {"inputConfig": {"requests": {"requests": [{"request", "metadata"}, …]}}}}`.
    pub fn gemini(body: &'a [u8], model: &str) -> Result<Self, BadRequest> {
        let body: GeminiBody<'a> = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(error) => return bad(None, format!("The request body cannot be read: {error}.")),
        };
        let GeminiBatch { model: named, input, .. } = body.batch;
        if named.is_some_and(|named| named.strip_prefix("models/").unwrap_or(&named) != model) {
            return bad("batch.model", "Path and body name different models.");
        }
        let (Some(requests), None) = (input.requests, input.file_name) else {
            let message = "Batches of files are not supported here: Gemini's files are uploaded to \
                           an address of its own. Send the requests in `inputConfig.requests`.";
            return bad("batch.inputConfig", message);
        };
        let mut requests = Self::new(requests.requests.0, Form::Gemini)?;
        requests.endpoint = Some(format!("/v1beta/models/{model}:generateContent"));
        Ok(requests)
    }

    /// Those of a file: one JSON object a line.
    pub fn lines(file: &'a [u8]) -> Result<Self, BadRequest> {
        let file = file.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(file);
        let lines = file.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        Self::new(lines.take(LINES_MAX.saturating_add(1)).collect(), Form::Lines)
    }

    fn new(items: Vec<&'a [u8]>, form: Form) -> Result<Self, BadRequest> {
        if items.is_empty() {
            return bad(None, "A batch needs at least one request.");
        }
        if items.len() > LINES_MAX {
            return bad(None, format!("A batch can have at most {LINES_MAX} requests."));
        }
        let (items, ids) = (items.into_iter(), HashSet::new());
        Ok(Self { items, form, at: 0, ids, endpoint: None })
    }

    fn read(&mut self, item: &[u8]) -> Result<Ask, BadRequest> {
        let unreadable = |error: serde_json::Error| BadRequest {
            message: format!("it cannot be read: {error}"),
            param: None,
        };
        let (custom_id, url, body) = match self.form {
            Form::Anthropic => {
                let item: InlineItem<'_> = serde_json::from_slice(item).map_err(unreadable)?;
                (Some(item.custom_id), Cow::Borrowed("/v1/messages"), item.params)
            }
            Form::Gemini => {
                let item: GeminiItem<'_> = serde_json::from_slice(item).map_err(unreadable)?;
                (None, Cow::Owned(self.endpoint.clone().unwrap_or_default()), item.request)
            }
            Form::Lines => {
                let line: FileLine<'_> = serde_json::from_slice(item).map_err(unreadable)?;
                if line.method.is_some_and(|method| method != "POST") {
                    return bad("method", "`method` must be POST.");
                }
                let url = line.url.map_or_else(|| meant_by(line.body), Ok)?;
                (Some(line.custom_id), url, line.body)
            }
        };
        if let Some(custom_id) = custom_id {
            self.take_id(&custom_id)?;
        }
        let route = self.route(&url)?;
        let body = body.get().as_bytes();
        let ask = inspect(&Request { route, query: "", content_type: "application/json", body })?;
        if ask.job {
            return bad("background", "`background` is not supported in a batch.");
        }
        Ok(ask)
    }

    /// Two lines of one custom id could be told apart by nobody, and would be charged as one.
    fn take_id(&mut self, custom_id: &str) -> Result<(), BadRequest> {
        if !fields::is_name(custom_id) {
            return bad("custom_id", "`custom_id` must be a string of 1 to 256 printable bytes.");
        }
        let mut mark = [0; 16];
        let digest = Digest::of(&[custom_id.as_bytes()]);
        mark.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
        if !self.ids.insert(mark) {
            return bad("custom_id", "`custom_id` is given twice.");
        }
        Ok(())
    }

    /// All lines go to one endpoint, as the APIs demand, whose answers are JSON with a usage.
    fn route<'u>(&mut self, url: &'u str) -> Result<Route<'u>, BadRequest> {
        let known = self.endpoint.get_or_insert_with(|| url.to_owned());
        if known != url {
            return bad("url", "All requests of a batch must have the same `url`.");
        }
        let api = match self.form {
            Form::Lines => Api::OpenAi,
            Form::Anthropic => Api::Anthropic,
            Form::Gemini => Api::Google,
        };
        let served = |route: &Route<'_>| {
            let endpoints = [
                Endpoint::Chat,
                Endpoint::Responses,
                Endpoint::Completions,
                Endpoint::Embeddings,
                Endpoint::Messages,
                Endpoint::Generate,
            ];
            route.api == api && endpoints.contains(&route.endpoint)
        };
        match Route::of(url).filter(served) {
            Some(route) => Ok(route),
            None => bad("url", "batches to this `url` are not supported here."),
        }
    }
}

/// Where a line goes that does not say so: the job that is made of it has to name the same.
fn meant_by(body: &RawValue) -> Result<Cow<'static, str>, BadRequest> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        messages: Option<IgnoredAny>,
        #[serde(default)]
        input: Option<IgnoredAny>,
        #[serde(default)]
        model: Option<IgnoredAny>,
    }
    let unreadable = "A line without `url` needs `messages` or `input` in its `body`.";
    let Ok(Body { messages, input, model }) = serde_json::from_str(body.get()) else {
        return bad("body", unreadable);
    };
    if model.is_none() {
        let message = "`model` is required in each line's `body`: its price is looked up when the \
                       file is uploaded.";
        return bad("model", message);
    }
    match (messages, input) {
        (Some(_), None) => Ok(Cow::Borrowed("/v1/chat/completions")),
        (None, Some(_)) => Ok(Cow::Borrowed("/v1/embeddings")),
        _ => bad("url", unreadable),
    }
}

impl Iterator for Requests<'_> {
    type Item = Result<Ask, BadRequest>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.items.next()?;
        self.at = self.at.saturating_add(1);
        let at = self.at;
        Some(self.read(item).map_err(|bad| BadRequest {
            message: format!("Request {at} of the batch: {}", bad.message),
            ..bad
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(id: &str, url: &str, body: &str) -> String {
        format!(r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{body}}}"#)
    }

    const CHAT: &str = "/v1/chat/completions";
    const BODY: &str = r#"{"model":"m","max_tokens":5,"messages":[]}"#;

    fn fault(file: &str) -> String {
        let mut requests = match Requests::lines(file.as_bytes()) {
            Ok(requests) => requests,
            Err(bad) => return bad.message,
        };
        let bad = requests.find_map(Result::err);
        bad.map_or_else(String::new, |bad| bad.message)
    }

    #[test]
    fn every_line_is_read_as_if_it_had_been_sent_alone() {
        let file = format!("\u{feff}{}\r\n\n{}", line("a", CHAT, BODY), line("b", CHAT, BODY));
        let mut requests = Requests::lines(file.as_bytes()).unwrap();
        let asks: Vec<Ask> = requests.by_ref().map(Result::unwrap).collect();
        assert_eq!(asks.len(), 2);
        assert!(asks.iter().all(|ask| ask.model == "m" && ask.max_output == Some(5)));
        assert_eq!(requests.endpoint.as_deref(), Some(CHAT));
        let body = format!(r#"{{"requests":[{{"custom_id":"a","params":{BODY}}}]}}"#);
        let ask = Requests::inline(body.as_bytes()).unwrap().next().unwrap().unwrap();
        assert_eq!((ask.endpoint, ask.max_output), (Endpoint::Messages, Some(5)));
    }

    #[test]
    fn what_could_be_charged_as_another_line_or_not_at_all_is_refused_by_its_number() {
        let good = line("a", CHAT, BODY);
        let background = r#"{"model":"m","input":"x","background":true}"#;
        for (second, says) in [
            (line("a", CHAT, BODY), "given twice"),
            (line("", CHAT, BODY), "printable"),
            (line("b", "/v1/embeddings", r#"{"model":"m","input":"x"}"#), "same `url`"),
            (line("b", CHAT, r#"{"messages":[]}"#), "`model` is required"),
            (line("b", CHAT, r#"{"model":"m","model":"n","messages":[]}"#), "twice"),
            (line("b", CHAT, BODY).replace("POST", "GET"), "must be POST"),
            (r#"{"custom_id":"b"}"#.to_owned(), "cannot be read"),
            ("[]".to_owned(), "cannot be read"),
            (r#"{"custom_id":"b","body":{"model":"m","input":"x"}}"#.to_owned(), "same `url`"),
            (r#"{"custom_id":"b","body":{"messages":[]}}"#.to_owned(), "each line's `body`"),
        ] {
            let message = fault(&format!("{good}\n{second}"));
            assert!(message.starts_with("Request 2 of the batch: "), "{second}: {message}");
            assert!(message.contains(says), "{second}: {message}");
        }
        assert!(fault(&line("a", "/v1/responses", background)).contains("background"));
        for url in ["/v1/audio/speech", "/v1/messages", "https://x/v1/responses", "/v1/batches"] {
            assert!(fault(&line("a", url, BODY)).contains("not supported"), "{url}");
        }
        assert!(fault("\n \n").contains("at least one"));
    }

    #[test]
    fn a_line_without_a_url_goes_where_its_body_can_go_and_names_its_model() {
        for (body, url) in [
            (BODY, Some(CHAT)),
            (r#"{"model":"m","input":["x"]}"#, Some("/v1/embeddings")),
            (r#"{"model":"m","input":"x","messages":[]}"#, None),
            (r#"{"model":"m","prompt":"x"}"#, None),
            (r#"{"messages":[]}"#, None),
        ] {
            let line = format!(r#"{{"custom_id":"a","body":{body}}}"#);
            let mut requests = Requests::lines(line.as_bytes()).unwrap();
            assert_eq!(requests.next().unwrap().is_ok(), url.is_some(), "{body}");
            assert_eq!(requests.endpoint.as_deref(), url, "{body}");
        }
    }

    #[test]
    fn a_gemini_batch_is_read_request_by_request_at_its_paths_model() {
        let item = r#"{"contents":[{"parts":[{"text":"hi"}]}],
            "generationConfig":{"maxOutputTokens":5}}"#;
        let body = |input: &str| format!(r#"{{"batch":{{"displayName":"d",{input}}}}}"#);
        let of = |body: &str| -> Result<Vec<Ask>, BadRequest> {
            Requests::gemini(body.as_bytes(), "g")?.collect()
        };
        for (config, key) in [("inputConfig", "a"), ("input_config", "a")] {
            let requests = format!(
                r#""{config}":{{"requests":{{"requests":[{{"request":{item},
                    "metadata":{{"key":"{key}"}}}},{{"request":{item}}}]}}}}"#
            );
            let asks = of(&body(&requests)).unwrap();
            assert_eq!(asks.len(), 2);
            assert!(asks.iter().all(|ask| ask.model == "g" && ask.max_output == Some(5)));
            assert!(asks.iter().all(|ask| ask.endpoint == Endpoint::Generate));
        }
        let one = |request: &str| {
            format!(r#""inputConfig":{{"requests":{{"requests":[{{"request":{request}}}]}}}}"#)
        };
        for (input, says) in [
            (r#""inputConfig":{"fileName":"files/f"}"#.to_owned(), "files"),
            (r#""inputConfig":{}"#.to_owned(), "files"),
            (format!(r#""model":"models/h",{}"#, one(item)), "different models"),
            (one(r#"{"model":"models/h","contents":[]}"#), "different models"),
            (one(r#"{"generationConfig":{}}"#), "`contents` is required"),
            (format!(r#"{},"webhook":1"#, one(item)), "cannot be read"),
        ] {
            let message = of(&body(&input)).unwrap_err().message;
            assert!(message.contains(says), "{input}: {message}");
        }
    }

    #[test]
    fn a_list_too_long_for_a_batch_is_refused_before_it_is_read() {
        let body = format!(r#"{{"requests":[{}0]}}"#, "0,".repeat(LINES_MAX + 1));
        assert!(
            Requests::inline(body.as_bytes()).is_err_and(|bad| bad.message.contains("too many"))
        );
        assert!(fault(&"0\n".repeat(LINES_MAX + 1)).contains("at most"));
    }
}
