//! What AI APIs say: framing, one small file per API family, and the normalised usage.
//!
//! In scope: reading an upstream's answer. Out of scope: bytes on their way to the client, which
//! never pass through here, and prices.

mod anthropic;
mod number;
mod openai_chat;
pub mod request;
mod scan;
pub mod sse;
pub mod strip;
pub mod usage;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use usage::Usage;

/// The shape of an API, whoever serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `POST /v1/chat/completions`.
    OpenAiChat,
    /// `POST /v1/messages`.
    AnthropicMessages,
}

impl Family {
    /// The family behind a path, if it is one we know.
    pub fn of_path(path: &str) -> Option<Self> {
        match path.trim_end_matches('/') {
            "/v1/chat/completions" => Some(Self::OpenAiChat),
            "/v1/messages" => Some(Self::AnthropicMessages),
            _ => None,
        }
    }

    /// The path a request of this family goes to.
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/v1/chat/completions",
            Self::AnthropicMessages => "/v1/messages",
        }
    }

    /// The family a JSON value belongs to, by keys that only it has.
    fn of_json(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Marks<'a> {
            #[serde(rename = "type", borrow, default)]
            kind: Option<Cow<'a, str>>,
            #[serde(default)]
            choices: Option<serde::de::IgnoredAny>,
        }
        let marks: Marks<'_> = serde_json::from_slice(json).ok()?;
        match marks.kind.as_deref() {
            Some("message" | "message_start" | "message_delta" | "ping" | "error") => {
                Some(Self::AnthropicMessages)
            }
            _ => marks.choices.map(|_| Self::OpenAiChat),
        }
    }
}

/// How the upstream itself ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Error,
}

/// What has been read of one answer so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// What the upstream reported.
    pub usage: Usage,
    /// The upstream reported billable usage.
    pub usage_present: bool,
    /// The model that served, by the upstream's word.
    pub model: Option<String>,
    /// The service tier that served, by the upstream's word.
    pub service_tier: Option<String>,
    /// Events that carried content. Each holds at least one output token: a lower bound.
    pub deltas: u64,
    ending: Option<Ending>,
    /// The last usage came with or after the ending.
    usage_final: bool,
}

impl Answer {
    fn end(&mut self, ending: Ending) {
        // An error after the end of the content is still an error; a late "done" is no repair.
        if self.ending != Some(Ending::Error) {
            self.ending = Some(ending);
        }
    }

    fn set_model(&mut self, model: Option<Cow<'_, str>>) {
        // Some servers open a stream with an empty model name.
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            self.model = Some(model.into_owned());
        }
    }

    /// The usage, about to be written to.
    fn reported(&mut self) -> &mut Usage {
        self.usage_present = true;
        self.usage_final = self.ending == Some(Ending::Complete);
        &mut self.usage
    }
}

/// Reads answers of one family, or finds the family out first.
#[derive(Debug, Default)]
pub struct Reader {
    family: Option<Family>,
    /// What it has read.
    pub answer: Answer,
}

impl Reader {
    /// `None` = go by wire shape.
    pub fn new(family: Option<Family>) -> Self {
        Self { family, answer: Answer::default() }
    }

    /// One event of a stream.
    pub fn event(&mut self, event: &sse::Event<'_>) {
        if self.family.is_none() {
            self.family = Family::of_json(event.data);
        }
        match self.family {
            Some(Family::OpenAiChat) => openai_chat::event(event.data, &mut self.answer),
            Some(Family::AnthropicMessages) => {
                anthropic::event(event.name, event.data, &mut self.answer);
            }
            None => {}
        }
    }

    /// A whole, non-streamed answer; false where it is not whole JSON.
    pub fn whole(&mut self, json: &[u8]) -> bool {
        if serde_json::from_slice::<serde::de::IgnoredAny>(json).is_err() {
            return false;
        }
        match self.family.or_else(|| Family::of_json(json)) {
            Some(Family::OpenAiChat) => openai_chat::whole(json, &mut self.answer),
            Some(Family::AnthropicMessages) => anthropic::whole(json, &mut self.answer),
            None => {}
        }
        // Whatever a whole answer reports, it reports at its end.
        self.answer.usage_final = self.answer.usage_present;
        true
    }

    /// Whether the upstream said that the content is over; usage may still follow.
    pub fn ended(&self) -> bool {
        self.answer.ending.is_some()
    }

    /// Whether nothing more worth waiting for can come.
    pub fn settled(&self) -> bool {
        self.answer.ending == Some(Ending::Error) || self.answer.usage_final
    }

    pub(crate) fn ending(&self) -> Option<Ending> {
        self.answer.ending
    }

    pub(crate) fn is_final(&self) -> bool {
        self.answer.usage_final
    }
}
