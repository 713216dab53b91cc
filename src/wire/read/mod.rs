//! From the units of an answer — one whole, or one event after another — to what was used.
//!
//! Which API it is shows in the answer itself. Each usage object is read by the table of its family
//! (`tables`), wherever it stands (`paths`); what a family's fields do not say is a rule (`counts`).

mod answer;
mod content;
mod counts;
pub mod custom;
mod headers;
mod jobs;
mod lines;
mod paths;
mod session;
mod signs;
mod skip;
mod subs;
mod tables;
mod texts;
mod written;

use std::sync::Arc;

pub(crate) use answer::Ending;
pub(crate) use answer::add_usage;
pub use answer::{Answer, SubUsage};
pub use counts::Unknown;
pub use custom::Custom;
pub use lines::{Line, Lines};
pub(crate) use session::TRANSCRIPT;

use super::frame::Sink;
use super::json::{Node, Plan, Scanner};
use super::usage::Meter;
use counts::{Counts, Hint};
use signs::Kind;
use skip::Look;
pub use texts::TEXTS_MAX;
use texts::Texts;

/// Reads one answer.
pub struct Reader {
    plan: Arc<Plan>,
    scanner: Scanner,
    custom: Option<Arc<Custom>>,
    texts: Option<Texts>,
    /// Turns of one connection add up.
    session: bool,
    /// The whole body is one answer, not a stream of events.
    whole: bool,
    /// It is a list of events.
    listed: bool,
    skip: skip::Skip,
    /// The last event with a running count, not yet read.
    running: Vec<u8>,
    transcriber: Option<String>,
    /// What was said to be transcribed, and what was.
    committed: u64,
    transcribed: u64,
    xai: bool,
    /// What it has read.
    pub answer: Answer,
}

impl core::fmt::Debug for Reader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Reader").field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Reader {
    /// `session`: one connection with many turns, whose usages add up. `whole`: not a stream.
    pub fn new(session: bool, whole: bool) -> Self {
        Self {
            plan: paths::plan(),
            scanner: Scanner::default(),
            custom: None,
            texts: None,
            session,
            whole,
            listed: false,
            skip: skip::Skip::default(),
            running: Vec::new(),
            transcriber: None,
            committed: 0,
            transcribed: 0,
            xai: false,
            answer: Answer::default(),
        }
    }

    /// Who serves, where that is known. Of little weight: the answer itself tells most.
    #[must_use]
    pub fn with_provider(mut self, provider: &str) -> Self {
        let name: String = provider.chars().filter(char::is_ascii_alphanumeric).collect();
        self.xai = matches!(name.to_ascii_lowercase().as_str(), "xai" | "grok" | "apixai");
        self
    }

    /// Reads events that wrap a model's own in base64, as Bedrock's do: strings of their length.
    #[must_use]
    pub fn with_wrapped_events(mut self) -> Self {
        self.scanner = Scanner::with_long_texts();
        self
    }

    /// Reads by an operator's own extractor as well.
    #[must_use]
    pub fn with_custom(mut self, custom: Arc<Custom>) -> Self {
        self.custom = Some(custom);
        self.plan = self.own_plan();
        self
    }

    /// Keeps up to `room` bytes of the text that the model wrote; its
    /// count can stand in where no usage comes.
    #[must_use]
    pub fn with_texts(mut self, room: usize) -> Self {
        self.scanner = Scanner::with_long_texts();
        self.texts = Some(Texts::new(room));
        self.plan = if self.custom.is_some() { self.own_plan() } else { paths::plan_with_texts() };
        self
    }

    /// A plan with what the operator's extractor looks at.
    fn own_plan(&self) -> Arc<Plan> {
        let mut plan = paths::fresh(if self.texts.is_some() { paths::TEXTS } else { &[] });
        let pointers = self.custom.iter().flat_map(|custom| custom.pointers());
        pointers.for_each(|pointer| plan.add_pointer(pointer));
        Arc::new(plan)
    }

    /// The body turns out to be one answer, not a stream of events.
    pub(crate) fn becomes_whole(&mut self) {
        self.whole = true;
    }

    /// The body is a list: a stream of events, closed by a bracket.
    pub(crate) fn becomes_list(&mut self) {
        self.listed = true;
    }

    /// Output tokens seen so far, at least.
    pub fn seen_output(&self) -> u64 {
        self.answer.seen.saturating_add(u64::from(!self.running.is_empty()))
    }

    /// Whether the upstream said that the content is over; usage may still follow.
    pub fn ended(&self) -> bool {
        self.answer.ending.is_some()
    }

    /// Whether nothing more worth waiting for can come.
    pub fn settled(&self) -> bool {
        self.answer.ending == Some(Ending::Error) || self.answer.is_final()
    }

    /// The body so far is whole JSON.
    pub(crate) fn is_whole(&self) -> bool {
        self.scanner.is_whole()
    }

    /// A stream of one answer, or a session without a turn under way.
    pub(crate) fn is_streamed_whole(&self) -> bool {
        !(self.whole || self.session && self.answer.content_since)
    }

    /// Reads the event with a running count that turned out to be the last of its row.
    fn read_running(&mut self) {
        if !self.running.is_empty() {
            let running = core::mem::take(&mut self.running);
            self.json(b"", &running);
            self.running = running;
            self.running.clear();
        }
    }

    /// No more bytes will come: what the headers and the operator's extractor say is added.
    pub(crate) fn finish<'h>(&mut self, headers: impl Iterator<Item = (&'h str, &'h str)>) {
        self.read_running();
        headers::read(headers, &mut self.answer);
        self.answer.overlay_custom();
        // A usage that is none, and nothing in its place.
        self.answer.suspect |= self.answer.malformed && !self.answer.usage_present;
    }

    /// Reads a text that is one JSON value.
    fn json(&mut self, name: &[u8], data: &[u8]) {
        let mut scanner = core::mem::take(&mut self.scanner);
        scanner.feed(&self.plan.clone(), data, &mut |node| self.unit(name, node));
        scanner.end(&mut |node| self.unit(name, node));
        self.answer.suspect |= scanner.saw_twice() || scanner.went_over();
        scanner.reset();
        self.scanner = scanner;
    }

    /// One JSON value of the answer.
    fn unit(&mut self, name: &[u8], root: &Node) {
        if let Node::List(items) = root {
            items.iter().for_each(|item| self.unit(name, item));
            return;
        }
        if !root.is_object() {
            return;
        }
        if let Some(inner) = root.text("bytes").filter(|_| name == b"chunk") {
            // Bedrock wraps a model's own events.
            if let Ok(inner) = data_encoding::BASE64.decode(inner.as_bytes()) {
                let mut scanner = Scanner::with_long_texts();
                let plan = self.plan.clone();
                scanner.feed(&plan, &inner, &mut |node| self.unit(b"", node));
                scanner.end(&mut |node| self.unit(b"", node));
            }
            return;
        }
        let kind = Kind::of(name, root, self.session);
        self.session |= kind == Kind::Live;
        signs::name(root, self.whole, &mut self.answer);
        self.content(root);
        if let Some(ending) = signs::ending(kind, root, self.whole, self.session) {
            self.ended_by(ending);
        }
        if signs::begins_turn(root, self.session) {
            self.answer.content_since = true;
            self.answer.begun = self.answer.begun.saturating_add(1);
        }
        self.transcriber = subs::transcriber(root).or(self.transcriber.take());
        if self.session {
            self.hears(root.text("type").unwrap_or_default());
        }
        self.usage(kind, root);
        if let Some(custom) = &self.custom {
            custom.read(root, &mut self.answer);
        }
    }

    fn ended_by(&mut self, ending: Ending) {
        // What was reported before an error does not cover what came until it.
        self.answer.content_since |= ending == Ending::Error;
        self.answer.end(ending);
    }

    fn usage(&mut self, kind: Kind, root: &Node) {
        if kind == Kind::Transcribed {
            subs::transcription(root, self.transcriber.as_deref(), &mut self.answer);
            return;
        }
        if kind == Kind::TurnDone {
            let id = root.text("response/id").or_else(|| root.text("response_id"));
            if !self.answer.is_new(id) {
                return;
            }
            self.answer.count(Meter::Turns);
        }
        if matches!(root.text("object"), Some("batch")) {
            return; // it sums what its lines report: counting both would count twice
        }
        let mut found = false;
        for (body, path) in signs::bodies(root) {
            let counts = self.body(body, path, kind);
            found |= !counts.is_empty();
            self.take(kind, root, counts);
            subs::of_body(body, &mut self.answer);
            if found {
                break;
            }
        }
        if let Some(metrics) = root.get("amazon-bedrock-invocationMetrics") {
            self.metrics(metrics);
        }
        if !found {
            jobs::read(root, self.whole, &mut self.answer);
        }
    }

    /// The usage object of one body, or the counts that stand in the body itself.
    fn body(&self, body: &Node, path: &str, kind: Kind) -> Counts {
        let grok = || self.answer.model.as_deref().is_some_and(|model| model.starts_with("grok"));
        let hint = if matches!(kind, Kind::MessageStart | Kind::MessageDelta)
            || body.text("type") == Some("message")
        {
            Hint::Anthropic
        } else if self.xai || grok() {
            Hint::Xai
        } else {
            Hint::None
        };
        let mut first = Counts::default();
        for key in ["usage", "usageMetadata", "usage_metadata", "usage_info", "meta"] {
            let Some(usage) = body.get(key) else { continue };
            if !usage.is_object() {
                first.malformed = true;
                continue;
            }
            if key == "meta" && usage.get("billed_units").or(usage.get("tokens")).is_none() {
                continue;
            }
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}/{key}") };
            let mut counts = counts::read(usage, &path, hint);
            if !counts.is_empty() {
                // A chat answer that reports one side alone.
                let one_sided = counts.usage.get(Meter::OutputTotal).is_none();
                counts.suspect |= one_sided && body.get("choices").is_some();
                return counts;
            }
            first.malformed |= usage.fields().is_empty();
            first.unknown.extend(counts.unknown);
            first.cost = first.cost.or(counts.cost);
            first.suspect |= counts.suspect;
        }
        counts::in_the_answer(body, &mut first);
        first
    }

    fn take(&mut self, kind: Kind, root: &Node, counts: Counts) {
        self.answer.malformed |= counts.malformed;
        self.answer.suspect |= self.answer.done && !counts.is_empty();
        let turn = match kind {
            Kind::TurnDone => true,
            Kind::SessionTotal => false,
            Kind::BatchLine => {
                self.answer.service_tier = Some("batch".to_owned());
                let id = ["custom_id", "recordId", "key"].iter().find_map(|key| root.text(key));
                if !counts.is_empty() && !self.answer.is_new(id) {
                    return; // this line was counted before
                }
                true
            }
            _ => self.session && !counts.overlay,
        };
        if turn && kind == Kind::Live && !counts.is_empty() {
            self.answer.count(Meter::Turns);
        }
        let tells_output = counts.usage.get(Meter::OutputTotal).is_some();
        if turn {
            self.answer.add(counts);
        } else {
            self.answer.report(counts);
        }
        if tells_output {
            self.answer.opening = kind == Kind::MessageStart;
        }
    }

    /// The counts that Bedrock adds to the last event of any model: they fill what the model's own
    /// report leaves out.
    fn metrics(&mut self, metrics: &Node) {
        let mut counts = counts::read(metrics, "amazon-bedrock-invocationMetrics", Hint::None);
        for (meter, _) in self.answer.usage.clone().iter() {
            counts.usage.remove(meter);
        }
        if self.answer.usage.get(Meter::InputTotal).is_some() {
            counts.usage.remove(Meter::InputUncached);
        }
        self.answer.end(Ending::Complete);
        self.answer.content_since &= !self.answer.usage_present;
        self.answer.report(counts);
    }
}

impl Sink for Reader {
    fn event(&mut self, name: &[u8], data: &[u8]) {
        if data.trim_ascii() == b"[DONE]" || name == b"done" {
            self.read_running();
            self.answer.end(Ending::Complete);
            self.answer.done = true;
            return;
        }
        let known = self.answer.model.is_some();
        let look = self.skip.look(name, data, known, self.keeps_text());
        if self.custom.is_none() && self.pass(look, data) {
            return;
        }
        self.read_running();
        let seen = self.answer.seen;
        self.json(name, data);
        if let Look::Content { words, .. } = look
            && self.answer.seen == seen
        {
            // Content by the event's name, at a place that no path leads to.
            self.saw_content(words);
            self.not_kept(words);
        }
        // A stream's error may be named by its event alone.
        if name == b"error" {
            self.ended_by(Ending::Error);
        }
    }

    fn part(&mut self, data: &[u8]) {
        self.read_running();
        let mut scanner = core::mem::take(&mut self.scanner);
        scanner.feed(&self.plan.clone(), data, &mut |node| self.unit(b"", node));
        self.scanner = scanner;
    }

    fn parts_end(&mut self, _name: &[u8]) {
        let mut scanner = core::mem::take(&mut self.scanner);
        scanner.end(&mut |node| self.unit(b"", node));
        let trailing = self.whole && scanner.saw_more();
        self.answer.suspect |= scanner.saw_twice() || scanner.went_over() || trailing;
        if !self.whole {
            scanner.reset();
        }
        self.scanner = scanner;
    }
}

/// Visits every value at a path, through lists.
fn each<'n>(node: &'n Node, path: &str, visit: &mut dyn FnMut(&'n Node)) {
    if let Node::List(items) = node {
        items.iter().for_each(|item| each(item, path, visit));
        return;
    }
    let (key, rest) = path.split_once('/').map_or((path, None), |(key, rest)| (key, Some(rest)));
    // A pattern that ends in `?` asks for presence alone.
    let Some(value) = node.get(key.trim_end_matches('?')) else { return };
    match (value, rest) {
        (_, Some(rest)) => each(value, rest, visit),
        (Node::List(items), None) => items.iter().for_each(visit),
        (value, None) => visit(value),
    }
}

#[cfg(test)]
mod tests;
