//! Passes over events that cannot carry usage, without parsing them.
//!
//! Inside a JSON string every quote is escaped, so the bytes `"usage"` can only be a key (or a whole
//! string); a key written with escapes shows by its backslash-u. What is not surely harmless is read.

use std::sync::LazyLock;

use memchr::arch::all::packedpair::HeuristicFrequencyRank;
use memchr::memmem::{Finder, FinderBuilder};

use super::written::{Part, delta_event, words};

/// What an event is, as far as can be seen without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look<'d> {
    /// It may say something: read it.
    Read,
    /// Content and nothing else.
    Content {
        /// How many words begin in it, where that is seen in passing.
        words: u64,
        /// What the model wrote in it.
        text: Written<'d>,
    },
    /// Content, and a running count that the next event's replaces: read it if it is the last. With
    /// the count, where it is seen in passing.
    Running(Option<u64>),
    /// Nothing of interest.
    Nothing,
}

/// What the model wrote in an event, as far as can be seen without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written<'d> {
    /// This piece of a text, as it stands between the quotes of a JSON string.
    Here(Part, &'d [u8]),
    /// Something, or several things: parsing would tell.
    Somewhere,
    /// Nothing whose text is counted.
    Nothing,
}

/// Keys that are searched for in passing.
#[derive(Debug)]
struct Keys {
    usage: Finder<'static>,
    finish: Finder<'static>,
    error: Finder<'static>,
    escape: Finder<'static>,
    groq: Finder<'static>,
    delta: Finder<'static>,
    gemini_usage: Finder<'static>,
    gemini_finish: Finder<'static>,
    gemini_total: Finder<'static>,
    completion: Finder<'static>,
    text: Finder<'static>,
    only_delta: Finder<'static>,
    output_index: Finder<'static>,
    content_index: Finder<'static>,
}

/// Made once: so many searches take longer to prepare than a short stream to read.
static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys {
    usage: finder("\"usage"),
    finish: finder("\"finish_reason\""),
    error: finder("\"error\""),
    escape: finder("\\u00"),
    groq: finder("\"x_groq\""),
    delta: finder("\"delta\":{"),
    gemini_usage: finder("\"usageMetadata\""),
    gemini_finish: finder("\"finishReason\""),
    gemini_total: finder("\"totalTokenCount\":"),
    completion: finder("\"completion_tokens\":"),
    text: finder("\"text\":"),
    only_delta: finder("\"delta\":"),
    output_index: finder("\"output_index\":"),
    content_index: finder("\"content_index\":"),
});

#[derive(Debug)]
pub(super) struct Skip {
    keys: &'static Keys,
    templates: Templates,
}

impl Default for Skip {
    fn default() -> Self {
        Self { keys: &KEYS, templates: Templates::default() }
    }
}

/// A search is led by its needle's rarest byte. In JSON a quote, rare in prose, is the most common of all.
fn finder(needle: &'static str) -> Finder<'static> {
    struct InJson;
    impl HeuristicFrequencyRank for InJson {
        fn rank(&self, byte: u8) -> u8 {
            match byte {
                b'"' | b':' | b',' | b'{' | b'}' => 255,
                b'e' | b't' | b'a' | b'o' | b'n' | b'i' | b's' => 250,
                b'r' | b'd' | b'l' | b'c' | b'u' | b'm' => 200,
                b'a'..=b'z' | b'0'..=b'9' => 150,
                _ => 50,
            }
        }
    }
    FinderBuilder::new().build_forward_with_ranker(InJson, needle)
}

impl Skip {
    /// Looks at an event; `known`: the model's name has been read already. `texts`: what is written
    /// in it is asked for; else it is told where that costs nothing.
    pub fn look<'d>(&mut self, name: &[u8], data: &'d [u8], known: bool, texts: bool) -> Look<'d> {
        // `message` is what an event without a name is called.
        let named = !name.is_empty() && name != b"message";
        let kind = if named { name } else { first_type(data) };
        match kind {
            b"content_block_delta" if !texts && data.len() < ANTHROPIC_MIN => {
                Look::Content { words: 0, text: Written::Nothing }
            }
            b"content_block_delta" => {
                let text = anthropic_text(data);
                Look::Content { words: text.words(), text }
            }
            b"response.output_text.delta"
            | b"response.reasoning_text.delta"
            | b"response.refusal.delta"
            | b"response.function_call_arguments.delta"
            | b"response.text.delta" => {
                let text = if texts { self.responses(kind, data) } else { Written::Nothing };
                Look::Content { words: 0, text }
            }
            b"content-delta" | b"text-generation" => {
                Look::Content { words: 0, text: Written::Somewhere }
            }
            b"response.reasoning_summary_text.delta"
            | b"response.output_audio.delta"
            | b"response.output_audio_transcript.delta"
            | b"response.audio.delta"
            | b"response.audio_transcript.delta" => {
                Look::Content { words: 0, text: Written::Nothing }
            }
            b"content_block_start" | b"content_block_stop" | b"ping" => Look::Nothing,
            b"" if known => self.unnamed(data),
            _ => Look::Read,
        }
    }

    fn unnamed<'d>(&mut self, data: &'d [u8]) -> Look<'d> {
        if let Some(text) = self.templates.written(data) {
            return Look::Content { words: text.words(), text };
        }
        if data.starts_with(b"{\"candidates\":") {
            return self.gemini(data);
        }
        self.chunk(data)
    }

    /// A chunk of a chat completion: harmless where no usage, finish reason or error stands in it.
    fn chunk<'d>(&mut self, data: &'d [u8]) -> Look<'d> {
        let Some(delta) = self.keys.delta.find(data) else { return Look::Read };
        let harmless = only_null(&self.keys.finish, data)
            && only_null(&self.keys.error, data)
            && self.keys.groq.find(data).is_none()
            && !self.escaped_key(data);
        if !harmless {
            return Look::Read;
        }
        // `"role":"assistant","content":""` opens a stream and holds nothing yet.
        match (only_null(&self.keys.usage, data), delta_text(data, delta)) {
            (true, Some((text, rest))) => {
                if let Written::Here(part, _) = text {
                    self.templates.learn(data, part, rest);
                }
                Look::Content { words: text.words(), text }
            }
            (true, None) => Look::Nothing,
            // Of several choices, each may count for itself: the first one's are compared.
            (false, Some((Written::Here(Part { item: 0, .. }, _), _))) => {
                let usage = self.keys.usage.find(data).and_then(|at| data.get(at..));
                Look::Running(count(usage, &self.keys.completion))
            }
            (false, Some(_)) => Look::Running(None),
            (false, None) => Look::Read,
        }
    }

    /// The text of a Responses event: its only `delta`.
    fn responses<'d>(&self, kind: &[u8], data: &'d [u8]) -> Written<'d> {
        let after = |key: &Finder<'_>| {
            let at = key.find(data)?.saturating_add(key.needle().len());
            data.get(at..)
        };
        let text = after(&self.keys.only_delta).and_then(open_string);
        let (Some(field), Some(text)) = (delta_event(kind), text) else {
            return Written::Somewhere;
        };
        let index = |key: &Finder<'_>| after(key).map_or(0, |rest| number(rest).0);
        let (item, inner) = (index(&self.keys.output_index), index(&self.keys.content_index));
        Written::Here(Part { field, item, inner }, text)
    }

    /// What the model wrote in an event that was taken for [`Look::Running`].
    pub fn written<'d>(&self, data: &'d [u8]) -> Written<'d> {
        let part = Part { field: "candidates/content/parts/text", item: 0, inner: 0 };
        if let Some((text, rest)) = gemini_text(data) {
            let more = self.keys.text.find(rest).is_some();
            return if more { Written::Somewhere } else { Written::Here(part, text) };
        }
        if let Some(delta) = self.keys.delta.find(data) {
            return delta_text(data, delta).map_or(Written::Nothing, |(text, _)| text);
        }
        let mut found = self.keys.text.find_iter(data);
        let (Some(at), None) = (found.next(), found.next()) else { return Written::Somewhere };
        let rest = data.get(at.saturating_add(self.keys.text.needle().len())..).unwrap_or_default();
        open_string(rest).map_or(Written::Somewhere, |text| Written::Here(part, text))
    }

    /// Gemini repeats its count on every event; only the last one is the count.
    fn gemini(&self, data: &[u8]) -> Look<'static> {
        // No key stands inside the text, so only what is around it is searched for them.
        let around = gemini_text(data).map_or(data, |(_, rest)| rest);
        let Some(usage) = self.keys.gemini_usage.find(around) else { return Look::Read };
        let running = self.keys.gemini_finish.find(around).is_none()
            && self.keys.error.find(around).is_none()
            && !self.escaped_key(around);
        if !running {
            return Look::Read;
        }
        Look::Running(count(around.get(usage..), &self.keys.gemini_total))
    }

    /// A letter written as `\u00..` may be part of a key; other characters are not.
    fn escaped_key(&self, data: &[u8]) -> bool {
        self.keys
            .escape
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

/// The number at a key in what an event holds from its usage on.
fn count(usage: Option<&[u8]>, key: &Finder<'_>) -> Option<u64> {
    let usage = usage?;
    let rest = usage.get(key.find(usage)?.saturating_add(key.needle().len())..)?;
    let (count, after) = number(rest);
    // What is no whole number is left to whoever reads it.
    matches!(after.trim_ascii_start().first(), Some(b',' | b'}')).then_some(count)
}

/// Longest event a template is made of; longer ones are rare.
const TEMPLATE_MAX: usize = 1024;
/// Templates kept: choices and tool calls may come in turns, a few of them mostly.
const TEMPLATES_MAX: usize = 4;

/// The shapes of the events seen last.
#[derive(Debug, Default)]
struct Templates {
    known: Vec<Template>,
    /// The one that fitted last: it mostly does again.
    last: usize,
}

impl Templates {
    /// What is written in an event that fits one of them.
    fn written<'d>(&mut self, data: &'d [u8]) -> Option<Written<'d>> {
        let fits =
            |template: &Template| Some(Written::Here(template.part, template.text_of(data)?));
        if let Some(found) = self.known.get(self.last).and_then(fits) {
            return Some(found);
        }
        let mut known = self.known.iter().enumerate();
        let (at, found) = known.find_map(|(at, template)| Some((at, fits(template)?)))?;
        self.last = at;
        Some(found)
    }

    /// Learns the shape of a harmless event. Its only text begins where `rest` does.
    fn learn(&mut self, data: &[u8], part: Part, rest: &[u8]) {
        let Some(template) = Template::of(data, part, rest) else { return };
        if self.known.len() < TEMPLATES_MAX {
            self.last = self.known.len();
            self.known.push(template);
            return;
        }
        // In turns: of more shapes than are kept, none is known long.
        self.last = self.last.saturating_add(1) & (TEMPLATES_MAX.saturating_sub(1));
        if let Some(old) = self.known.get_mut(self.last) {
            *old = template;
        }
    }
}

/// A harmless event, its content (and OpenAI's padding) cut out. What is the same but for these
/// strings is as harmless: one comparison instead of a search for every key.
#[derive(Debug)]
struct Template {
    /// Which text the content belongs to.
    part: Part,
    /// Up to the content's opening quote.
    head: Vec<u8>,
    /// From the content's closing quote on; or up to the padding's opening quote.
    middle: Vec<u8>,
    /// From the padding's closing quote on, where there is padding.
    tail: Option<Vec<u8>>,
}

impl Template {
    fn of(data: &[u8], part: Part, rest: &[u8]) -> Option<Self> {
        if data.len() > TEMPLATE_MAX {
            return None;
        }
        let head = data.strip_suffix(rest)?;
        let (_, after) = split_string(rest)?;
        let padding: &[u8] = b"\"obfuscation\":\"";
        let cut = memchr::memmem::find(after, padding).map(|at| at.saturating_add(padding.len()));
        let parts = cut.and_then(|cut| after.split_at_checked(cut));
        let padded = parts.and_then(|(middle, rest)| Some((middle, split_string(rest)?.1)));
        let (middle, tail) = match padded {
            Some((middle, tail)) => (middle, Some(tail.into())),
            None => (after, None),
        };
        Some(Self { part, head: head.into(), middle: middle.into(), tail })
    }

    /// The content of an event that is the same but for it.
    fn text_of<'d>(&self, data: &'d [u8]) -> Option<&'d [u8]> {
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

impl Written<'_> {
    /// How many words surely begin in it.
    fn words(self) -> u64 {
        match self {
            Self::Here(_, text) if text.len() >= SHORT => words(text),
            _ => 0,
        }
    }
}

/// The shortest Anthropic event in whose text words are searched for.
const ANTHROPIC_MIN: usize =
    br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#.len()
        + SHORT;

/// The text of an Anthropic delta, as Anthropic writes it; other writers' are parsed.
fn anthropic_text(data: &[u8]) -> Written<'_> {
    const KINDS: [(&[u8], &str); 3] = [
        (b",\"delta\":{\"type\":\"text_delta\",\"text\":", "delta/text"),
        (b",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":", "delta/partial_json"),
        (b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":", "delta/thinking"),
    ];
    let rest = data.strip_prefix(b"{\"type\":\"content_block_delta\",\"index\":");
    let Some((item, rest)) = rest.map(number) else { return Written::Somewhere };
    let fits = |(open, field): (&[u8], &'static str)| {
        let text = open_string(rest.strip_prefix(open)?)?;
        Some(Written::Here(Part { field, item, inner: 0 }, text))
    };
    KINDS.into_iter().find_map(fits).unwrap_or(Written::Somewhere)
}

/// The number that some text begins with, after spaces, and what follows; 0 where there is none.
fn number(text: &[u8]) -> (u64, &[u8]) {
    let text = text.trim_ascii_start();
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits).unwrap_or((b"", text));
    let number = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    (number.unwrap_or(0), rest)
}

/// The text that a Gemini event begins with, as Gemini writes it, and what follows; others are searched.
fn gemini_text(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let open: &[u8] = br#"{"candidates":[{"content":{"parts":[{"text":""#;
    split_string(data.strip_prefix(open)?)
}

/// The inside of the string that some text begins with, after spaces.
fn open_string(text: &[u8]) -> Option<&[u8]> {
    split_string(text.trim_ascii_start().strip_prefix(b"\"")?).map(|(inside, _)| inside)
}

/// What the model wrote in a chat's chunk, whose delta begins at `delta`, and the chunk from there on;
/// `None` where that is nothing, its role aside.
fn delta_text(data: &[u8], delta: usize) -> Option<(Written<'_>, &[u8])> {
    let (before, inside) = data.split_at_checked(delta)?;
    let Found::One(field, at) = texts_in(inside)? else {
        return Some((Written::Somewhere, b""));
    };
    let (head, rest) = inside.split_at_checked(at)?;
    if field.is_empty() {
        return Some((Written::Nothing, rest));
    }
    let Some((text, after)) = split_string(rest) else { return Some((Written::Somewhere, rest)) };
    // The choice's index stands before its delta or after it, a tool call's inside the delta.
    let index = |text| {
        let key: &[u8] = b"\"index\":";
        let at = memchr::memmem::find(text, key)?.saturating_add(key.len());
        Some(number(text.get(at..)?).0)
    };
    let item = index(before).or_else(|| index(after)).unwrap_or(0);
    let inner = if field == "arguments" { index(head).unwrap_or(0) } else { 0 };
    Some((Written::Here(Part { field, item, inner }, text), rest))
}

/// Strings of a delta that are not empty.
enum Found {
    /// One: its key, and where its inside begins.
    One(&'static str, usize),
    /// Several.
    More,
}

fn texts_in(delta: &[u8]) -> Option<Found> {
    /// Keys of strings, and which text each belongs to; sound has no text.
    const KEYS: [(&[u8], &str); 6] = [
        (b"\"content\":\"", "content"),
        (b"\"arguments\":\"", "arguments"),
        (b"\"reasoning_content\":\"", "reasoning_content"),
        (b"\"reasoning\":\"", "reasoning"),
        (b"\"refusal\":\"", "refusal"),
        (b"\"data\":\"", ""),
    ];
    let mut found = None;
    for (key, field) in KEYS {
        for at in memchr::memmem::find_iter(delta, key) {
            let at = at.saturating_add(key.len());
            if delta.get(at).is_none_or(|byte| *byte == b'"') {
                continue;
            }
            if found.is_some() {
                return Some(Found::More);
            }
            found = Some(Found::One(field, at));
        }
    }
    found
}
