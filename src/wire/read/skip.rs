//! Passes over events that cannot carry usage, without parsing them.
//!
//! Inside a JSON string every quote is escaped, so the bytes `"usage"` can only be a key (or a whole
//! string); a key written with escapes shows by its backslash-u. What is not surely harmless is read.

use memchr::memmem::Finder;

use super::written::words;

/// What an event is, as far as can be seen without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It may say something: read it.
    Read,
    /// Content and nothing else.
    Content {
        /// How many words begin in it, where that is seen in passing.
        words: u64,
    },
    /// Content, and a running count that the next event's replaces: read it if it is the last.
    Running,
    /// Nothing of interest.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Skip {
    usage: Finder<'static>,
    finish: Finder<'static>,
    error: Finder<'static>,
    escape: Finder<'static>,
    groq: Finder<'static>,
    delta: Finder<'static>,
    gemini_usage: Finder<'static>,
    gemini_finish: Finder<'static>,
    template: Template,
}

impl Default for Skip {
    fn default() -> Self {
        Self {
            usage: Finder::new("\"usage"),
            finish: Finder::new("\"finish_reason\""),
            error: Finder::new("\"error\""),
            escape: Finder::new("\\u00"),
            groq: Finder::new("\"x_groq\""),
            delta: Finder::new("\"delta\":{"),
            gemini_usage: Finder::new("\"usageMetadata\""),
            gemini_finish: Finder::new("\"finishReason\""),
            template: Template::default(),
        }
    }
}

impl Skip {
    /// Looks at an event; `known`: the model's name has been read already.
    pub fn look(&mut self, name: &[u8], data: &[u8], known: bool) -> Look {
        // `message` is what an event without a name is called.
        let named = !name.is_empty() && name != b"message";
        let kind = if named { name } else { first_type(data) };
        match kind {
            b"content_block_delta" => {
                Look::Content { words: anthropic_text(data).map_or(0, words_of) }
            }
            b"content-delta"
            | b"text-generation"
            | b"response.output_text.delta"
            | b"response.reasoning_text.delta"
            | b"response.reasoning_summary_text.delta"
            | b"response.refusal.delta"
            | b"response.function_call_arguments.delta"
            | b"response.output_audio.delta"
            | b"response.output_audio_transcript.delta"
            | b"response.audio.delta"
            | b"response.audio_transcript.delta"
            | b"response.text.delta" => Look::Content { words: 0 },
            b"content_block_start" | b"content_block_stop" | b"ping" => Look::Nothing,
            b"" if known => self.unnamed(data),
            _ => Look::Read,
        }
    }

    fn unnamed(&mut self, data: &[u8]) -> Look {
        if let Some(text) = self.template.text_of(data) {
            return Look::Content { words: words_of(text) };
        }
        if data.starts_with(b"{\"candidates\":") {
            return self.gemini(data);
        }
        let look = self.chunk(data);
        if matches!(look, Look::Content { .. }) {
            self.template = Template::of(data);
        }
        look
    }

    /// A chunk of a chat completion: harmless where no usage, finish reason or error stands in it.
    fn chunk(&self, data: &[u8]) -> Look {
        let Some(delta) = self.delta.find(data) else { return Look::Read };
        let harmless = only_null(&self.finish, data)
            && only_null(&self.error, data)
            && self.groq.find(data).is_none()
            && !self.escaped_key(data);
        if !harmless {
            return Look::Read;
        }
        // `"role":"assistant","content":""` opens a stream and holds nothing yet.
        let rest = data.get(delta.saturating_add(self.delta.needle().len())..).unwrap_or_default();
        match (only_null(&self.usage, data), holds_text(rest)) {
            (true, true) => {
                let text = rest.strip_prefix(b"\"content\":\"").and_then(split_string);
                Look::Content { words: text.map_or(0, |(text, _)| words_of(text)) }
            }
            (true, false) => Look::Nothing,
            (false, true) => Look::Running,
            (false, false) => Look::Read,
        }
    }

    /// Gemini repeats its count on every event; only the last one is the count.
    fn gemini(&self, data: &[u8]) -> Look {
        let running = self.gemini_usage.find(data).is_some()
            && self.gemini_finish.find(data).is_none()
            && self.error.find(data).is_none()
            && !self.escaped_key(data);
        if running { Look::Running } else { Look::Read }
    }

    /// A letter written as `\u00..` may be part of a key; other characters are not.
    fn escaped_key(&self, data: &[u8]) -> bool {
        self.escape
            .find_iter(data)
            .any(|at| matches!(data.get(at.saturating_add(4)), Some(b'4' | b'5' | b'6' | b'7')))
    }
}

/// Whether a key (given by the start of its name) has no other value than `null`.
fn only_null(key: &Finder<'_>, data: &[u8]) -> bool {
    key.find_iter(data).all(|at| {
        let after = data.get(at.saturating_add(key.needle().len())..).unwrap_or_default();
        after.strip_prefix(b"\"").unwrap_or(after).starts_with(b":null")
    })
}

/// Longest event a template is made of; longer ones are rare.
const TEMPLATE_MAX: usize = 1024;

/// A harmless event, its content (and OpenAI's padding) cut out. What is the same but for these
/// strings is as harmless: one comparison instead of a search for every key.
#[derive(Debug, Default)]
struct Template {
    /// Up to the content's opening quote.
    head: Vec<u8>,
    /// From the content's closing quote on; or up to the padding's opening quote.
    middle: Vec<u8>,
    /// From the padding's closing quote on, where there is padding.
    tail: Option<Vec<u8>>,
}

impl Template {
    fn of(data: &[u8]) -> Self {
        let key: &[u8] = b"\"delta\":{\"content\":\"";
        let found = memchr::memmem::find(data, key).filter(|_| data.len() <= TEMPLATE_MAX);
        let Some(head) = found.map(|at| at.saturating_add(key.len())) else {
            return Self::default();
        };
        let Some((head, rest)) = data.split_at_checked(head) else { return Self::default() };
        let Some((_, after)) = split_string(rest) else { return Self::default() };
        let padding: &[u8] = b"\"obfuscation\":\"";
        let cut = memchr::memmem::find(after, padding).map(|at| at.saturating_add(padding.len()));
        let parts = cut.and_then(|cut| after.split_at_checked(cut));
        let padded = parts.and_then(|(middle, rest)| Some((middle, split_string(rest)?.1)));
        match padded {
            Some((middle, tail)) => {
                Self { head: head.into(), middle: middle.into(), tail: Some(tail.into()) }
            }
            None => Self { head: head.into(), middle: after.into(), tail: None },
        }
    }

    /// The content of an event that is the same but for it.
    fn text_of<'d>(&self, data: &'d [u8]) -> Option<&'d [u8]> {
        if self.head.is_empty() {
            return None;
        }
        let (content, after) = split_string(data.strip_prefix(self.head.as_slice())?)?;
        let after = after.strip_prefix(self.middle.as_slice())?;
        let over = match &self.tail {
            None => after.is_empty(),
            Some(tail) => split_string(after).is_some_and(|(_, rest)| rest == tail.as_slice()),
        };
        (over && !content.is_empty()).then_some(content)
    }
}

/// The inside of a string whose opening quote has been read, and what follows from its closing
/// quote on.
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut from = 0_usize;
    loop {
        let at = memchr::memchr2(b'"', b'\\', bytes.get(from..)?)?.saturating_add(from);
        if bytes.get(at) == Some(&b'"') {
            return bytes.split_at_checked(at);
        }
        from = at.saturating_add(2);
    }
}

/// The value of `type` where an object begins with it.
fn first_type(data: &[u8]) -> &[u8] {
    let after = data.strip_prefix(b"{\"type\":\"").or_else(|| data.strip_prefix(b"{\"type\": \""));
    let Some(after) = after else { return b"" };
    let end = memchr::memchr2(b'"', b'\\', after).unwrap_or(after.len());
    after.get(..end).unwrap_or_default()
}

/// Texts below this many bytes are not searched for words: most are one token, and the search would
/// take as long as all else that is done with their event.
const SHORT: usize = 16;

fn words_of(text: &[u8]) -> u64 {
    if text.len() < SHORT { 0 } else { words(text) }
}

/// The text of Anthropic's text delta, as Anthropic writes it; other writers' fields are not looked
/// for, because a search in every event would cost more than it tells.
fn anthropic_text(data: &[u8]) -> Option<&[u8]> {
    /// The shortest event around a text.
    const AROUND: usize =
        br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#
            .len();
    if data.len() < AROUND.saturating_add(SHORT) {
        return None;
    }
    let rest = data.strip_prefix(b"{\"type\":\"content_block_delta\",\"index\":")?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = rest.get(digits..)?;
    let rest = rest.strip_prefix(b",\"delta\":{\"type\":\"text_delta\",\"text\":\"")?;
    split_string(rest).map(|(text, _)| text)
}

/// Whether a delta's own fields hold a string that is not empty, its role aside.
fn holds_text(delta: &[u8]) -> bool {
    let keys: [&[u8]; 6] = [
        b"\"content\":\"",
        b"\"arguments\":\"",
        b"\"reasoning_content\":\"",
        b"\"reasoning\":\"",
        b"\"refusal\":\"",
        b"\"data\":\"",
    ];
    keys.iter().any(|key| {
        memchr::memmem::find(delta, key).is_some_and(|at| {
            delta.get(at.saturating_add(key.len())).is_some_and(|byte| *byte != b'"')
        })
    })
}
