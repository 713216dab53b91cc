//! One answer's life: chunks come in, then it ends one way or another, and out comes what it used
//! and how it ended. Exactly one [`Reading`] comes out, because ending consumes the meter.

use serde::{Deserialize, Serialize};

use crate::money::Exact;
use crate::wire::usage::{Meter, Provenance, Usage};
use crate::wire::{Ending, Family, Reader, sse};

/// Longest whole JSON answer read for usage. The largest seen hold generated images as base64 and
/// stay under it; two copies must fit an isolate of 128 MB.
pub const JSON_MAX: usize = 32 * 1024 * 1024;

/// How an answer's bytes are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events.
    Sse,
}

/// Why no more bytes will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The upstream's answer came to its end.
    Eof,
    /// The upstream broke off.
    Cut,
    /// The client went away.
    ClientLeft,
    /// A bound on time or bytes was reached.
    Bound,
}

/// How an answer ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To the end, with its usage.
    Complete,
    /// The upstream said that it stopped early.
    Incomplete,
    /// The client or the upstream cancelled it.
    Cancelled,
    /// The upstream answered with an error.
    Error,
    /// It broke off without a terminal event.
    Truncated,
    /// To the end, but without usage.
    NoUsage,
}

/// What one answer used, as far as can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Quantities with their provenance. `requests` is always one.
    pub usage: Usage,
    /// The upstream reported billable usage.
    pub usage_present: bool,
    /// The usage came with or after the terminal event.
    pub is_final: bool,
    /// The model that served, by the upstream's word.
    pub model: Option<String>,
    /// The service tier that served, by the upstream's word.
    pub service_tier: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Output tokens seen at least: the number of content events.
    pub seen_output: u64,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Metering {
    frames: Frames,
    reader: Reader,
    status: u16,
}

#[derive(Debug)]
enum Frames {
    Sse(sse::Decoder),
    Json { bytes: Vec<u8>, broken: bool },
}

impl Metering {
    /// A meter for an answer with this status; `family` `None` goes by wire shape.
    pub fn new(framing: Framing, family: Option<Family>, status: u16) -> Self {
        let frames = match framing {
            Framing::Sse => Frames::Sse(sse::Decoder::default()),
            Framing::Json => Frames::Json { bytes: Vec::new(), broken: false },
        };
        Self { frames, reader: Reader::new(family), status }
    }

    /// The next bytes of the answer, cut anywhere.
    pub fn chunk(&mut self, chunk: &[u8]) {
        match &mut self.frames {
            Frames::Sse(decoder) => decoder.feed(chunk, |event| self.reader.event(event)),
            Frames::Json { bytes, broken } => {
                *broken |= bytes.len().saturating_add(chunk.len()) > JSON_MAX;
                if *broken {
                    *bytes = Vec::new();
                } else {
                    bytes.extend_from_slice(chunk);
                }
            }
        }
    }

    /// Whether the content is over and only usage may follow: worth a short wait.
    pub fn near_end(&self) -> bool {
        self.reader.ended() && !self.reader.settled()
    }

    /// Output tokens seen so far, at least.
    pub fn seen_output(&self) -> u64 {
        self.reader.answer.deltas
    }

    /// The answer is over; what did it use?
    pub fn end(mut self, end: End) -> Reading {
        match &mut self.frames {
            Frames::Sse(decoder) => decoder.end(|event| self.reader.event(event)),
            Frames::Json { bytes, broken } => {
                *broken |= end != End::Eof || !self.reader.whole(bytes);
            }
        }
        let outcome = self.outcome(end);
        let is_final = self.reader.is_final();
        let answer = self.reader.answer;
        let mut usage = answer.usage;
        raise_output(&mut usage, is_final, answer.deltas);
        usage.complete_input();
        usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
        Reading {
            usage,
            usage_present: answer.usage_present,
            is_final,
            model: answer.model,
            service_tier: answer.service_tier,
            outcome,
            seen_output: answer.deltas,
        }
    }

    fn outcome(&self, end: End) -> Outcome {
        let whole = matches!(self.frames, Frames::Json { broken: false, .. });
        match (end, self.reader.ending()) {
            (_, Some(Ending::Error)) => Outcome::Error,
            _ if self.status >= 400 => Outcome::Error,
            // A terminal event was seen: what happened to the connection after it is no matter.
            (_, Some(Ending::Complete)) if self.reader.is_final() => Outcome::Complete,
            (End::ClientLeft, _) => Outcome::Cancelled,
            (End::Eof, Some(Ending::Complete)) => Outcome::NoUsage,
            (End::Eof, None) if whole && self.reader.is_final() => Outcome::Complete,
            (End::Eof, None) if whole => Outcome::NoUsage,
            _ => Outcome::Truncated,
        }
    }
}

/// Where the report stops short of what was seen, the count seen stands in, marked as counted.
fn raise_output(usage: &mut Usage, is_final: bool, deltas: u64) {
    let seen = Exact::from(deltas);
    let reported = usage.get(Meter::OutputTotal);
    if !is_final && deltas > 0 && reported.is_none_or(|tokens| tokens < seen) {
        usage.set(Meter::OutputTotal, seen, Provenance::Counted);
    }
}
