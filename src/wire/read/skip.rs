//! Passes over events that cannot carry usage, without parsing them.
//!
//! Inside a JSON string every quote is escaped, so the bytes `"usage"` can only be a key (or a whole
//! string); a key written with escapes shows by its backslash-u. What is not surely harmless is read.

use memchr::memmem::Finder;

/// What an event is, as far as can be seen without parsing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It may say something: read it.
    Read,
    /// Content and nothing else.
    Content,
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
}

impl Default for Skip {
    fn default() -> Self {
        Self {
            usage: Finder::new("\"usage"),
            finish: Finder::new("\"finish_reason\""),
            error: Finder::new("\"error\""),
            escape: Finder::new("\\u00"),
            groq: Finder::new("\"x_groq\""),
        }
    }
}

impl Skip {
    /// Looks at an event; `known`: the model's name has been read already.
    pub fn look(&mut self, name: &[u8], data: &[u8], known: bool) -> Look {
        let kind = if name.is_empty() { first_type(data) } else { name };
        match kind {
            b"content_block_delta"
            | b"content-delta"
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
            | b"response.text.delta" => return Look::Content,
            b"content_block_start" | b"content_block_stop" | b"ping" => return Look::Nothing,
            _ => {}
        }
        if known && kind.is_empty() { self.chunk(data) } else { Look::Read }
    }

    /// A chunk of a chat completion: harmless where no usage, finish reason or error stands in it.
    fn chunk(&self, data: &[u8]) -> Look {
        let Some(delta) = memchr::memmem::find(data, b"\"delta\":{") else { return Look::Read };
        let null = |finder: &Finder<'_>| {
            finder.find_iter(data).all(|at| {
                let after =
                    data.get(at.saturating_add(finder.needle().len())..).unwrap_or_default();
                let after = after.strip_prefix(b"\"").unwrap_or(after);
                after.starts_with(b":null")
            })
        };
        let harmless = null(&self.usage)
            && null(&self.finish)
            && null(&self.error)
            && self.groq.find(data).is_none()
            && !self.escaped_key(data);
        if !harmless {
            return Look::Read;
        }
        // `"role":"assistant","content":""` opens a stream and holds nothing yet.
        let rest = data.get(delta.saturating_add(9)..).unwrap_or_default();
        if holds_text(rest) { Look::Content } else { Look::Nothing }
    }

    /// A letter written as `\u00..` may be part of a key; other characters are not.
    fn escaped_key(&self, data: &[u8]) -> bool {
        self.escape
            .find_iter(data)
            .any(|at| matches!(data.get(at.saturating_add(4)), Some(b'4' | b'5' | b'6' | b'7')))
    }
}

/// The value of `type` where an object begins with it.
fn first_type(data: &[u8]) -> &[u8] {
    let after = data.strip_prefix(b"{\"type\":\"").or_else(|| data.strip_prefix(b"{\"type\": \""));
    let Some(after) = after else { return b"" };
    let end = memchr::memchr2(b'"', b'\\', after).unwrap_or(after.len());
    after.get(..end).unwrap_or_default()
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
