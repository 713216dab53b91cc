//! One answer's life: chunks come in, then it ends one way or another, and out comes what it used
//! and how it ended. Exactly one [`Reading`] comes out, because ending consumes the meter.

mod uncounted;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::money::Exact;
use crate::wire::frame::Frames;
pub use crate::wire::frame::Framing;
use crate::wire::frame::Sink;
pub use crate::wire::read::TEXTS_MAX;
use crate::wire::read::{Custom, Ending, Reader, SubUsage, TRANSCRIPT, Unknown, add_usage};
use crate::wire::usage::{Meter, Provenance, Usage};
pub use uncounted::Uncounted;

/// Response headers kept for their counts; an upstream sends a few dozen.
const HEADERS_MAX: usize = 256;

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
    /// It was ended here, at a limit on spend.
    Stopped,
}

/// How an answer ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// To the end, with its usage.
    Complete,
    /// The upstream said that it stopped early, or that it is not done yet; or it was stopped here,
    /// at a limit.
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
    /// Quantities with their provenance. `requests` is always one. Where the upstream reported less
    /// than was seen here, or nothing, the count seen stands in, marked as counted.
    pub usage: Usage,
    /// The same, without that stand-in.
    pub reported: Usage,
    /// Usage of other models inside this answer, each to be priced at its own.
    pub sub_usage: Vec<SubUsage>,
    /// Numbers in a usage object whose meaning is not known: perhaps billed, so never dropped.
    pub unknown: Vec<Unknown>,
    /// What the provider says it costs, in US dollars.
    pub provider_cost_usd: Option<Exact>,
    /// The upstream reported billable usage.
    pub usage_present: bool,
    /// The usage came with or after the terminal event.
    pub is_final: bool,
    /// A report contradicted itself, or held something that is no quantity.
    pub suspect: bool,
    /// The model that served, by the upstream's word.
    pub model: Option<String>,
    /// The service tier that served: `default`, `batch`, `flex`, `priority`, or the upstream's word.
    pub service_tier: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Output tokens seen at least: one a content event, or a word that begins in it; or what
    /// [`Self::count`] made of the text.
    pub seen_output: u64,
    /// Text to be counted, where texts were kept and no report covers them.
    pub uncounted: Option<Uncounted>,
}

impl Reading {
    /// Adds what a later turn of the same session used, where both are charged as one.
    pub fn add(&mut self, turn: Self) {
        let exact = add_usage(&mut self.usage, &turn.usage);
        self.suspect |= turn.suspect || !(exact && add_usage(&mut self.reported, &turn.reported));
        self.sub_usage.extend(turn.sub_usage);
        self.unknown.extend(turn.unknown);
        self.usage_present |= turn.usage_present;
        self.is_final = turn.is_final;
        self.outcome = turn.outcome;
        self.seen_output = self.seen_output.saturating_add(turn.seen_output);
    }

    /// Something was reported that contradicts itself, or that the usage alone does not price.
    pub fn needs_a_look(&self) -> bool {
        // A session's transcripts are held for like its turns.
        let apart = self.sub_usage.iter().any(|sub| !sub.included && sub.kind != TRANSCRIPT);
        self.suspect || apart || !self.unknown.is_empty()
    }
}

/// Reads one answer.
#[derive(Debug)]
pub struct Metering {
    framing: Framing,
    frames: Frames,
    reader: Reader,
    status: u16,
    headers: Vec<(String, String)>,
    characters: Option<u64>,
    max_output: Option<u64>,
    begun: bool,
}

impl Metering {
    /// A meter for an answer framed like this, with this status.
    pub fn new(framing: Framing, status: u16) -> Self {
        let reader = Reader::new(false, framing == Framing::Json);
        let wraps = framing == Framing::EventStream;
        Self {
            framing,
            frames: Frames::new(framing),
            reader: if wraps { reader.with_wrapped_events() } else { reader },
            status,
            headers: Vec::new(),
            characters: None,
            max_output: None,
            begun: false,
        }
    }

    /// A meter for one WebSocket connection, its frames a line each: its turns add up.
    pub fn session(status: u16) -> Self {
        Self { reader: Reader::new(true, false), ..Self::new(Framing::Lines, status) }
    }

    /// Who serves, where that is known; see [`Reader::with_provider`].
    #[must_use]
    pub fn with_provider(mut self, provider: &str) -> Self {
        self.reader = self.reader.with_provider(provider);
        self
    }

    /// The response's headers; some providers report usage there alone.
    #[must_use]
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers = headers.into_iter().take(HEADERS_MAX).collect();
        self
    }

    /// The characters that a request for speech asks to be spoken: what is billed where the answer
    /// is sound and says nothing.
    #[must_use]
    pub fn with_characters(mut self, characters: u64) -> Self {
        self.characters = Some(characters);
        self
    }

    /// The most output tokens that the request allows: no count made here exceeds it.
    #[must_use]
    pub fn with_max_output(mut self, tokens: u64) -> Self {
        self.max_output = Some(tokens);
        self
    }

    /// Reads by an operator's own extractor as well.
    #[must_use]
    pub fn with_custom(mut self, custom: Arc<Custom>) -> Self {
        self.reader = self.reader.with_custom(custom);
        self
    }

    /// Keeps up to `room` bytes of the answer's text, for [`Reading::uncounted`].
    #[must_use]
    pub fn with_texts(mut self, room: usize) -> Self {
        self.reader = self.reader.with_texts(room);
        self
    }

    /// The next bytes of the answer, cut anywhere.
    pub fn chunk(&mut self, chunk: &[u8]) {
        if self.status >= 400 {
            return; // what an error repeats of a usage is not one
        }
        if !self.begun {
            self.begin(chunk);
        }
        self.frames.feed(chunk, &mut self.reader);
    }

    /// A stream was asked for, and the answer may be one JSON value all the same. No line of an
    /// event stream begins with a brace.
    fn begin(&mut self, chunk: &[u8]) {
        let Some(first) = chunk.iter().find(|byte| !byte.is_ascii_whitespace()) else { return };
        self.begun = true;
        if self.framing == Framing::Sse && matches!(first, b'{' | b'[') {
            self.framing = Framing::Json;
            self.frames = Frames::new(Framing::Json);
            self.reader.becomes_whole();
        }
        if self.framing == Framing::Json && *first == b'[' {
            self.reader.becomes_list();
        }
    }

    /// One text frame of a session.
    pub fn frame(&mut self, text: &[u8]) {
        self.reader.event(b"", text);
    }

    /// Whether a turn of the session is over that was not taken yet.
    pub fn has_turn(&self) -> bool {
        self.reader.turns_over() > 0
    }

    /// Turns of the session that have begun and are not over: each may cost as much as one can.
    pub fn open_turns(&self) -> u64 {
        self.reader.open_turns()
    }

    /// Nothing was said or reported since the last turn was taken.
    pub fn is_untouched(&self) -> bool {
        !self.reader.answer.usage_present && self.open_turns() == 0 && self.seen_output() == 0
    }

    /// What was used since the last turn was taken; the session goes on.
    ///
    /// ```
    /// use farebox::meter::Metering;
    /// let mut session = Metering::session(101);
    /// for output in [3, 4] {
    ///     session.frame(br#"{"type":"response.created","response":{}}"#);
    ///     assert_eq!((session.open_turns(), session.has_turn()), (1, false));
    ///     let done = format!(
    ///         r#"{{"type":"response.done","response":{{"id":"r{output}","status":"completed",
    ///             "usage":{{"input_tokens":9,"output_tokens":{output}}}}}}}"#
    ///     );
    ///     session.frame(done.as_bytes());
    ///     assert!(session.has_turn());
    ///     let turn = session.take_turn();
    ///     let tokens = turn.usage.get(farebox::wire::usage::Meter::OutputTotal);
    ///     assert_eq!(tokens, Some(farebox::money::Exact::from(output)));
    /// }
    /// assert!(session.is_untouched());
    /// ```
    pub fn take_turn(&mut self) -> Reading {
        let next = Self { reader: self.reader.next_turn(), ..Self::session(self.status) };
        core::mem::replace(self, next).end(End::Eof)
    }

    /// The session was asked to have what it hears transcribed by this model; what the upstream
    /// says of it counts more.
    pub fn transcribed_by(&mut self, model: &str) {
        self.reader.transcribed_by(model);
    }

    /// Transcripts of the session that are under way.
    pub fn open_transcripts(&self) -> u64 {
        self.reader.open_transcripts()
    }

    /// Whether a transcript's usage has come that was not taken yet.
    pub fn has_transcript(&self) -> bool {
        self.reader.has_transcript()
    }

    /// What transcripts used since they were last taken, as usage of their own model and of no turn;
    /// a turn under way is not touched.
    pub fn take_transcripts(&mut self) -> Option<Reading> {
        let sub_usage = self.reader.take_transcripts();
        let mut usage = Usage::default();
        usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
        let model = self.reader.answer.model.clone();
        (!sub_usage.is_empty()).then(|| Reading {
            reported: usage.clone(),
            usage,
            sub_usage,
            unknown: Vec::new(),
            provider_cost_usd: None,
            usage_present: true,
            is_final: true,
            suspect: false,
            model,
            service_tier: None,
            outcome: Outcome::Complete,
            seen_output: 0,
            uncounted: None,
        })
    }

    /// Whether the content is over and only usage may follow: worth a short wait.
    pub fn near_end(&self) -> bool {
        self.reader.ended() && !self.reader.settled()
    }

    /// Output tokens seen so far, at least.
    pub fn seen_output(&self) -> u64 {
        let seen = self.reader.seen_output();
        self.max_output.map_or(seen, |most| seen.min(most))
    }

    /// The answer is over; what did it use?
    pub fn end(mut self, end: End) -> Reading {
        if self.status < 400 {
            self.frames.end(&mut self.reader);
            let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            self.reader.finish(headers);
        }
        self.spoken();
        let seen = self.seen_output();
        let is_final = self.is_final(end);
        let outcome = self.outcome(end, is_final);
        let uncounted = self.uncounted();
        let answer = self.reader.answer;
        let mut reported = answer.usage;
        reported.complete_input();
        let suspect = answer.suspect || !input_adds_up(&reported);
        reported.set(Meter::Requests, Exact::from(1), Provenance::Counted);
        let mut usage = reported.clone();
        raise_output(&mut usage, is_final && !suspect, seen);
        Reading {
            usage,
            reported,
            sub_usage: answer.sub_usage,
            unknown: answer.unknown,
            provider_cost_usd: answer.provider_cost_usd,
            usage_present: answer.usage_present,
            is_final,
            suspect,
            model: answer.model,
            service_tier: answer.service_tier,
            outcome,
            seen_output: seen,
            uncounted: uncounted.filter(|_| !is_final || suspect),
        }
    }

    /// The text that was kept, where no report covers it.
    fn uncounted(&mut self) -> Option<Uncounted> {
        let covered = self.reader.is_covered();
        let (texts, beside) = self.reader.uncounted()?;
        Some(Uncounted { texts, beside, covered, most: self.max_output })
    }

    /// Sound says nothing about itself: what it was made of is counted.
    fn spoken(&mut self) {
        let answer = &mut self.reader.answer;
        if let Some(characters) = self.characters
            && self.framing == Framing::Binary
            && self.status < 400
            && !answer.usage_present
        {
            let characters = Exact::from(characters);
            answer.usage.set(Meter::Characters, characters, Provenance::Counted);
        }
    }

    /// The body is one whole answer.
    fn is_whole(&self) -> bool {
        match self.framing {
            Framing::Json => self.reader.is_whole(),
            Framing::Binary => true,
            _ => false,
        }
    }

    fn is_final(&self, end: End) -> bool {
        let measured = self.reader.answer.usage_present || self.measured();
        let whole = self.is_whole() && end == End::Eof && measured;
        let streamed = self.framing != Framing::Json && self.reader.answer.is_final();
        self.status < 400 && (whole || streamed)
    }

    /// What there is to measure was measured, though the upstream reported no billable usage.
    fn measured(&self) -> bool {
        let meters = [Meter::CountedTokens, Meter::Images, Meter::Characters];
        meters.iter().any(|meter| self.reader.answer.usage.get(*meter).is_some())
    }

    fn outcome(&self, end: End, is_final: bool) -> Outcome {
        let present = self.reader.answer.usage_present;
        let at_end = |present| if present { Outcome::Complete } else { Outcome::NoUsage };
        match (end, self.reader.answer.ending()) {
            _ if self.status >= 400 || self.frames.is_broken() => Outcome::Error,
            (_, Some(Ending::Error)) => Outcome::Error,
            (_, Some(Ending::Incomplete)) => Outcome::Incomplete,
            (_, Some(Ending::Cancelled)) => Outcome::Cancelled,
            // A terminal event was seen: what happened to the connection after it is no matter.
            _ if is_final => Outcome::Complete,
            (End::ClientLeft, _) => Outcome::Cancelled,
            (End::Stopped, _) => Outcome::Incomplete,
            (End::Eof, Some(Ending::Complete)) if self.reader.is_streamed_whole() => {
                at_end(present)
            }
            (End::Eof, _) if self.is_whole() || self.reader.is_idle() => at_end(present),
            _ => Outcome::Truncated,
        }
    }
}

/// Whether the parts of the input are its total, where all are known. Each turn of a session may add
/// up, or say too little to tell, and all together not.
fn input_adds_up(usage: &Usage) -> bool {
    let get = |meter| usage.get(meter);
    let (Some(total), Some(uncached)) = (get(Meter::InputTotal), get(Meter::InputUncached)) else {
        return true;
    };
    let cached = [Meter::CacheRead, Meter::CacheWrite].into_iter().filter_map(get);
    Exact::sum(cached.chain([uncached])) == Ok(total)
}

/// Where the report stops short of what was seen, the count seen stands in, marked as counted.
fn raise_output(usage: &mut Usage, is_final: bool, seen: u64) {
    let floor = Exact::from(seen);
    let reported = usage.get(Meter::OutputTotal);
    if !is_final && seen > 0 && reported.is_none_or(|tokens| tokens < floor) {
        usage.set(Meter::OutputTotal, floor, Provenance::Counted);
    }
}
