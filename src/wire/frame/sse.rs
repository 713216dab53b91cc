//! Server-sent events, incrementally, by the rules of the WHATWG standard.
//!
//! Differs from a browser in one point: an event that the stream's end leaves without its blank
//! line is still handed over by [`Decoder::end`], because usage that arrived must not be lost.

use memchr::memchr2;

/// Longest event handed over in one piece; a longer one (a generated image, a whole answer repeated
/// at the end) is handed over in parts, so that no event fills the isolate. Real deltas stay under
/// 64 KiB.
pub const EVENT_MAX: usize = 64 * 1024;
/// Longest comment, id or event name looked at. Longer ones mean nothing to a meter.
const NAME_MAX: usize = 256;

/// Takes what a framing finds in a stream.
pub trait Sink {
    /// One whole event: its name (empty where it has none) and its data.
    fn event(&mut self, name: &[u8], data: &[u8]);
    /// A part of an event longer than [`EVENT_MAX`].
    fn part(&mut self, data: &[u8]);
    /// The event that came in parts is complete.
    fn parts_end(&mut self, name: &[u8]);
}

/// Cuts a byte stream into events. Chunks may end anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The unfinished line.
    line: Vec<u8>,
    /// What the unfinished line is, once it is too long to be kept.
    long: Option<Long>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// This event is handed over in parts.
    in_parts: bool,
    /// The last byte was CR: a LF right after belongs to the same line end.
    after_cr: bool,
    /// A byte order mark can only stand at the very start.
    started: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Long {
    /// A data line, passed on as it comes.
    Data,
    /// Any other line, passed over.
    Other,
}

impl Decoder {
    /// Feeds one chunk; `sink` sees each event that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl Sink) {
        while !chunk.is_empty() {
            if core::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                chunk = chunk.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', chunk) else {
                self.keep(chunk, sink);
                return;
            };
            let (line, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            self.after_cr = rest.first() == Some(&b'\r');
            chunk = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() && self.long.is_none() {
                // Most events are one data line and a blank one, whole in one chunk: no copy.
                match self.alone(line, chunk) {
                    Some(data) => sink.event(&self.name, data),
                    None => self.finish_line(line, sink),
                }
            } else {
                self.keep(line, sink);
                let whole = core::mem::take(&mut self.line);
                if self.long.take().is_none() {
                    self.finish_line(&whole, sink);
                }
                self.line = whole; // keeps its room for the next cut line
                self.line.clear();
            }
        }
    }

    /// The stream is over: hands over what stood before the end.
    pub fn end(&mut self, sink: &mut impl Sink) {
        let last = core::mem::take(&mut self.line);
        if !last.is_empty() && self.long.take().is_none() {
            self.finish_line(&last, sink);
        }
        self.dispatch(sink);
    }

    /// The data of a line that is all of its event: the only data line, with its blank line next.
    fn alone<'l>(&mut self, line: &'l [u8], rest: &[u8]) -> Option<&'l [u8]> {
        let blank = match rest {
            [b'\n', b'\n' | b'\r', ..] if self.after_cr => true,
            [b'\n' | b'\r', ..] => !(self.after_cr && rest.first() == Some(&b'\n')),
            _ => false,
        };
        let fresh = self.started && !self.has_data && !self.in_parts;
        let data =
            line.strip_prefix(b"data:").filter(|d| blank && fresh && d.len() <= EVENT_MAX)?;
        Some(data.strip_prefix(b" ").unwrap_or(data))
    }

    fn keep(&mut self, part: &[u8], sink: &mut impl Sink) {
        match self.long {
            Some(Long::Data) => return sink.part(part),
            Some(Long::Other) => return,
            None => self.line.extend_from_slice(part),
        }
        if self.line.len() <= EVENT_MAX {
            return;
        }
        let line = core::mem::take(&mut self.line);
        let (field, value) = split_field(self.without_mark(&line));
        self.long = Some(if field == b"data" { Long::Data } else { Long::Other });
        if field == b"data" {
            self.open_parts(sink);
            sink.part(value);
        }
    }

    /// From here on the event is handed over in parts.
    fn open_parts(&mut self, sink: &mut impl Sink) {
        self.in_parts = true;
        if core::mem::replace(&mut self.has_data, true) {
            sink.part(&self.data);
            sink.part(b"\n");
        }
        self.data.clear();
    }

    fn without_mark<'l>(&mut self, line: &'l [u8]) -> &'l [u8] {
        let first = !core::mem::replace(&mut self.started, true);
        if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line }
    }

    fn finish_line(&mut self, line: &[u8], sink: &mut impl Sink) {
        let line = self.without_mark(line);
        if line.is_empty() {
            return self.dispatch(sink);
        }
        let (field, value) = split_field(line);
        match field {
            b"data" => self.add_data(value, sink),
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value.get(..NAME_MAX).unwrap_or(value));
            }
            _ => {} // comments, ids and retry times mean nothing to a meter
        }
    }

    fn add_data(&mut self, value: &[u8], sink: &mut impl Sink) {
        if self.data.len().saturating_add(value.len()) > EVENT_MAX && !self.in_parts {
            self.open_parts(sink);
            return sink.part(value);
        }
        if self.in_parts {
            sink.part(b"\n");
            return sink.part(value);
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    fn dispatch(&mut self, sink: &mut impl Sink) {
        if self.in_parts {
            sink.parts_end(&self.name);
        } else if self.has_data {
            sink.event(&self.name, &self.data);
        }
        self.in_parts = false;
        self.has_data = false;
        self.name.clear();
        self.data.clear();
    }
}

/// `field: value`, `field:value` or `field`.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    for field in [&b"data"[..], b"event"] {
        if let Some(value) = line.strip_prefix(field).and_then(|rest| rest.strip_prefix(b":")) {
            return (field, value.strip_prefix(b" ").unwrap_or(value));
        }
    }
    let Some(colon) = memchr::memchr(b':', line) else { return (line, b"") };
    let (field, rest) = line.split_at_checked(colon).unwrap_or((line, b""));
    let value = rest.get(1..).unwrap_or_default();
    (field, value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Seen {
        events: Vec<(String, String)>,
        parts: Vec<u8>,
        longest: usize,
    }

    impl Sink for Seen {
        fn event(&mut self, name: &[u8], data: &[u8]) {
            self.longest = self.longest.max(data.len());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.events.push((text(name), text(data)));
        }
        fn part(&mut self, data: &[u8]) {
            self.parts.extend_from_slice(data);
        }
        fn parts_end(&mut self, name: &[u8]) {
            let data = core::mem::take(&mut self.parts);
            let longest = self.longest;
            self.event(name, &data);
            self.longest = longest;
        }
    }

    fn decode(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut seen = Seen::default();
        let mut decoder = Decoder::default();
        for piece in pieces {
            decoder.feed(piece, &mut seen);
        }
        decoder.end(&mut seen);
        assert!(seen.longest <= EVENT_MAX, "nothing longer is handed over in one piece");
        seen.events
    }

    fn datas(stream: &str) -> Vec<String> {
        decode(&[stream.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn f25_f26_f27_f28_the_standards_examples_decode_as_written_there() {
        assert_eq!(datas("data:\n\ndata\ndata\n\ndata:test\n\n"), ["", "\n", "test"]);
        assert_eq!(
            datas("data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\n:data:fail\r:x\ndata:4\n\n"),
            ["1\n2\n3\n4"]
        );
        assert_eq!(datas("\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n"), ["1", "3"]);
        assert_eq!(datas("data: a\rdata:  b\r\rdata:c\r\n\r\n"), ["a\n b", "c"]);
    }

    #[test]
    fn f30_an_event_cut_off_by_the_end_still_counts() {
        assert_eq!(datas("data: 1\n\ndata: 2\n"), ["1", "2"]);
        assert_eq!(datas("data: 1\n\ndata: 2"), ["1", "2"]);
    }

    #[test]
    fn f29_s45_an_event_of_any_length_comes_whole_and_is_never_held_whole() {
        let (image, tail) = ("x".repeat(300_000), "y".repeat(70_000));
        for end in ["\n", "\r\n", "\r"] {
            let text = format!(
                ": {image}\nevent: big\ndata: {image}\nid: {image}\ndata: 1\ndata: {tail}\n\ndata: z\n\n"
            );
            let text = text.replace('\n', end);
            let want = [("big".into(), format!("{image}\n1\n{tail}")), (String::new(), "z".into())];
            for cut in [1000, 65_536, 65_537, usize::MAX] {
                let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
                assert!(decode(&pieces) == want, "cut at {cut}");
            }
        }
        let mut decoder = Decoder::default();
        let mut seen = Seen::default();
        decoder.feed(b"data: ", &mut seen);
        for _ in 0..400 {
            decoder.feed(&[b'x'; 8_192], &mut seen);
            seen.parts.clear();
        }
        assert!(decoder.line.capacity() + decoder.data.capacity() <= 4 * EVENT_MAX);
    }

    proptest! {
        #[test]
        fn f24_f25_f28_where_the_chunks_are_cut_changes_nothing(
            lines in prop::collection::vec("(data|event|id|:|)( |:|: )?[a-zé中\u{feff}]{0,6}", 0..20),
            ends in prop::collection::vec("\n|\r|\r\n", 20),
            cut in 1_usize..8,
        ) {
            let stream: String = lines.iter().zip(&ends).flat_map(|(l, e)| [l.as_str(), e]).collect();
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();
            prop_assert_eq!(decode(&pieces), decode(&[stream.as_bytes()]));
        }
    }
}
