//! Answers inside what is said of a batch, as Gemini gives them: a list in a document, each of its
//! items read as a line of results, whatever its length, and the rest of the document kept apart.

use super::super::read::{Line, Lines};

/// The list of answers, and the object it stands in, in the API's two spellings.
const LISTS: [&[u8]; 2] = [b"inlinedResponses", b"inlined_responses"];
/// Longest string that could be a list's name.
const WORD_MAX: usize = 18;
/// Longest document around the answers: it has less than a kilobyte.
const AROUND_MAX: usize = 64 * 1024;
/// Deepest nesting that is followed around the answers; the API's is six deep.
const DEPTH_MAX: usize = 64;

/// Reads such a document, cut anywhere.
///
/// The answers stand in it twice, as the batch's output and as the operation's response: their
/// places in the list, which is that of the requests, are the same in both.
///
/// ```
/// use farebox::wire::batch::{Inlined, Object};
/// let body = br#"{"name":"batches/b","done":true,"metadata":{"state":"BATCH_STATE_SUCCEEDED"},
///     "response":{"inlinedResponses":{"inlinedResponses":[{"response":{"usageMetadata":
///     {"promptTokenCount":5,"candidatesTokenCount":2,"totalTokenCount":7}}}]}}}"#;
/// let mut inlined = Inlined::default();
/// let mut seen = Vec::new();
/// inlined.feed(body, &mut |line| seen.push(line));
/// assert_eq!((seen.len(), seen[0].position), (1, 1));
/// assert_eq!(Object::read(inlined.around().unwrap()).unwrap().id, "b");
/// ```
#[derive(Default)]
pub struct Inlined {
    lines: Lines,
    around: Vec<u8>,
    went_over: bool,
    /// Inside a string, and whether its next byte is escaped.
    string: Option<bool>,
    /// The string that was read last: a key, where a colon follows.
    word: Vec<u8>,
    /// The key whose value comes next.
    key: Key,
    /// The keys that lead here, from the document's own on; as deep as is followed.
    trail: Vec<Key>,
    depth: usize,
    /// How deep the list's items lie, inside it.
    items_at: Option<usize>,
}

/// A key on the way to the answers. Names mean nothing elsewhere: what a client wrote is echoed there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Key {
    /// Of none, as the document itself and what stands in a list; or of another name.
    #[default]
    Other,
    Metadata,
    Output,
    Response,
    List,
}

/// Where the answers' list stands: as the operation's response, and as the batch's output, whose batch
/// may be the whole document.
const PLACES: [&[Key]; 3] = [
    &[Key::Other, Key::Response, Key::List],
    &[Key::Other, Key::Metadata, Key::Output, Key::List],
    &[Key::Other, Key::Output, Key::List],
];

impl Key {
    fn of(word: &[u8]) -> Self {
        match word {
            b"metadata" => Self::Metadata,
            b"output" => Self::Output,
            b"response" => Self::Response,
            word if LISTS.contains(&word) => Self::List,
            _ => Self::Other,
        }
    }
}

impl Inlined {
    /// Feeds one chunk; `on_line` sees each answer that it completes.
    pub fn feed(&mut self, chunk: &[u8], on_line: &mut dyn FnMut(Line)) {
        // Of an item, as much as stands in this chunk.
        let mut item = None;
        for (at, byte) in chunk.iter().enumerate() {
            let was_item = self.is_in_item();
            self.byte(*byte);
            match (was_item, self.is_in_item()) {
                (false, true) => item = Some(at),
                (true, false) => {
                    let piece = chunk.get(item.take().unwrap_or(0)..=at).unwrap_or_default();
                    self.lines.piece(piece);
                    self.lines.finish(on_line);
                }
                (true, true) => item = item.or(Some(at)),
                (false, false) if self.items_at.is_none() || *byte == b'[' => self.keep(*byte),
                (false, false) => {}
            }
        }
        if let Some(from) = item {
            self.lines.piece(chunk.get(from..).unwrap_or_default());
        }
    }

    /// The document without its answers; absent where it was longer than any is.
    pub fn around(&self) -> Option<&[u8]> {
        (!self.went_over).then_some(self.around.as_slice())
    }

    /// The document is over: an answer that is not whole is billed as far as it was read.
    pub fn end(&mut self, on_line: &mut dyn FnMut(Line)) {
        if self.is_in_item() {
            self.lines.finish(on_line);
        }
    }

    fn is_in_item(&self) -> bool {
        self.items_at.is_some_and(|at| self.depth > at)
    }

    fn keep(&mut self, byte: u8) {
        if self.around.len() < AROUND_MAX {
            self.around.push(byte);
        } else {
            self.went_over = true;
        }
    }

    fn byte(&mut self, byte: u8) {
        if let Some(escaped) = self.string {
            let ends = byte == b'"' && !escaped;
            self.string = (!ends).then_some(byte == b'\\' && !escaped);
            if !ends && self.items_at.is_none() && self.word.len() < WORD_MAX {
                self.word.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.string = Some(false);
                self.word.clear();
            }
            b':' => self.key = Key::of(&self.word),
            b'[' | b'{' => self.open(byte),
            b']' | b'}' => self.close(),
            b',' => self.key = Key::Other,
            _ => {}
        }
    }

    fn open(&mut self, byte: u8) {
        let key = core::mem::take(&mut self.key);
        self.depth = self.depth.saturating_add(1);
        if self.items_at.is_some() {
            return;
        }
        if self.depth > DEPTH_MAX {
            self.went_over = true;
            return;
        }
        if byte == b'[' && key == Key::List && PLACES.contains(&self.trail.as_slice()) {
            self.items_at = Some(self.depth);
            self.lines.begin_again();
        }
        self.trail.push(key);
    }

    fn close(&mut self) {
        if self.items_at == Some(self.depth) {
            self.items_at = None;
        }
        self.depth = self.depth.saturating_sub(1);
        if self.items_at.is_none() {
            self.trail.truncate(self.depth);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::Object;
    use super::*;
    use crate::money::Exact;
    use crate::wire::usage::Meter;

    const ITEMS: &str = r#"[{"response":{"candidates":[{"content":{"parts":[{"text":
        "}],\"inlinedResponses\":[{\\"}]}}],"usageMetadata":{"promptTokenCount":40,
        "candidatesTokenCount":100,"totalTokenCount":140},"modelVersion":"gemini-2.5-flash"},
        "metadata":{"key":"a"}},{"error":{"code":400,"message":"no ] here"}} , {"response":{}}]"#;

    fn document() -> String {
        format!(
            r#"{{"name":"batches/b1","metadata":{{"displayName":"a \"inlinedResponses\": [",
                "state":"BATCH_STATE_SUCCEEDED","batchStats":{{"successfulRequestCount":"1"}},
                "output":{{"inlinedResponses":{{"inlinedResponses":{ITEMS}}}}}}},"done":true,
                "response":{{"inlinedResponses":{{"inlinedResponses":{ITEMS}}}}}}}"#
        )
    }

    fn read(text: &str, cut: usize) -> (Vec<Line>, Vec<u8>) {
        let (mut inlined, mut seen) = (Inlined::default(), Vec::new());
        let mut on_line = |line| seen.push(line);
        text.as_bytes().chunks(cut).for_each(|chunk| inlined.feed(chunk, &mut on_line));
        inlined.end(&mut on_line);
        (seen, inlined.around().unwrap().to_vec())
    }

    #[test]
    fn each_answer_is_read_by_its_place_and_the_rest_apart_wherever_the_chunks_are_cut() {
        let document = document();
        let whole = read(&document, usize::MAX);
        let (lines, around) = &whole;
        let places: Vec<_> = lines.iter().map(|line| (line.position, line.is_billable())).collect();
        let once = [(1, true), (2, false), (3, true)];
        assert_eq!(places, [once, once].concat(), "the same places in both lists");
        assert_eq!(lines[0].usage.get(Meter::OutputTotal), Some(Exact::from(100)));
        assert_eq!(lines[0].model.as_deref(), Some("gemini-2.5-flash"));
        assert!(lines[2].suspect, "an answer without usage");
        let object = Object::read(around).unwrap();
        assert_eq!((object.id.as_str(), object.seen().succeeded), ("b1", Some(1)));
        for cut in [1, 2, 3, 7, 64] {
            assert_eq!(read(&document, cut), whole, "cut at {cut}");
        }
    }

    /// Where a client's own words stand: an object or a list of the same name is no list of answers.
    #[test]
    fn the_answers_are_read_in_their_own_place_alone() {
        let fake = r#"[{"response":{"usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}}]"#;
        let own = document().replacen(
            r#""batchStats":"#,
            &format!(
                r#""inputConfig":{{"requests":{{"requests":[{{"metadata":{{"inlinedResponses":
                {{"inlinedResponses":{fake}}},"response":{{"inlinedResponses":{{"inlinedResponses":
                {fake}}}}}}},"request":{{"inlinedResponses":{fake}}}}}]}}}},"inlined_responses":{fake},
                "response":{{"inlinedResponses":{{"inlinedResponses":{fake}}}}},"batchStats":"#
            ),
            1,
        );
        let expected = read(&document(), usize::MAX).0;
        for cut in [1, 5, usize::MAX] {
            assert_eq!(read(&own, cut).0, expected, "cut at {cut}");
        }
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_lost() {
        let document = document();
        let end = document.find("modelVersion").unwrap();
        let (lines, around) = read(&document[..end], usize::MAX);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].is_billable());
        assert_eq!(lines[0].usage.get(Meter::OutputTotal), Some(Exact::from(100)));
        assert!(Object::read(&around).is_none());
    }

    #[test]
    fn what_stands_around_the_answers_is_bounded_and_its_depth_too() {
        for long in [format!(r#"{{"a":"{}"}}"#, "x".repeat(AROUND_MAX)), "[".repeat(DEPTH_MAX + 1)]
        {
            let mut inlined = Inlined::default();
            inlined.feed(long.as_bytes(), &mut |_| ());
            assert!(inlined.around().is_none());
        }
    }
}
