//! How an answer's bytes are framed: one incremental decoder per framing, all with bounded memory,
//! all indifferent to where the bytes are cut.

pub mod event_stream;
pub mod lines;
pub mod sse;

pub use sse::{EVENT_MAX, Sink};

/// How an answer's bytes are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value, or several; a list at the root is taken item by item.
    Json,
    /// Server-sent events.
    Sse,
    /// One JSON value a line.
    Lines,
    /// AWS `application/vnd.amazon.eventstream`.
    EventStream,
    /// Bytes that say nothing about usage: audio, images, plain text.
    Binary,
}

impl Framing {
    /// The framing that a `content-type` names; `None` where it is absent or unknown.
    pub fn of_content_type(kind: &str) -> Option<Self> {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Some(match kind.as_str() {
            "text/event-stream" => Self::Sse,
            "application/x-ndjson"
            | "application/jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/stream+json" => Self::Lines,
            "application/vnd.amazon.eventstream" => Self::EventStream,
            "application/json" => Self::Json,
            kind if kind.ends_with("+json") => Self::Json,
            kind if kind.starts_with("audio/")
                || kind.starts_with("image/")
                || kind.starts_with("video/")
                || kind == "application/octet-stream" =>
            {
                Self::Binary
            }
            _ => return None,
        })
    }
}

/// The decoder of a framing.
#[derive(Debug)]
pub enum Frames {
    /// JSON goes to the reader as it comes.
    Json,
    /// Server-sent events.
    Sse(sse::Decoder),
    /// Lines.
    Lines(lines::Decoder),
    /// AWS event stream.
    EventStream(event_stream::Decoder),
    /// Passed over.
    Binary,
}

impl Frames {
    /// A decoder at the start of a stream.
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Json => Self::Json,
            Framing::Sse => Self::Sse(sse::Decoder::default()),
            Framing::Lines => Self::Lines(lines::Decoder::default()),
            Framing::EventStream => Self::EventStream(event_stream::Decoder::default()),
            Framing::Binary => Self::Binary,
        }
    }

    /// The next bytes.
    pub fn feed(&mut self, chunk: &[u8], sink: &mut impl Sink) {
        match self {
            Self::Json => sink.part(chunk),
            Self::Sse(decoder) => decoder.feed(chunk, sink),
            Self::Lines(decoder) => decoder.feed(chunk, sink),
            Self::EventStream(decoder) => decoder.feed(chunk, sink),
            Self::Binary => {}
        }
    }

    /// No more bytes will come.
    pub fn end(&mut self, sink: &mut impl Sink) {
        match self {
            Self::Json => sink.parts_end(b""),
            Self::Sse(decoder) => decoder.end(sink),
            Self::Lines(decoder) => decoder.end(sink),
            Self::EventStream(_) | Self::Binary => {}
        }
    }

    /// The bytes broke the framing's own rules, beyond repair.
    pub fn is_broken(&self) -> bool {
        matches!(self, Self::EventStream(decoder) if decoder.is_broken())
    }
}
