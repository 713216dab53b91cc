//! Server-sent events, incrementally, by the rules of the WHATWG standard.
//!
//! Differs from a browser in one point: an event that the stream's end leaves without its blank
//! line is still handed over by [`Decoder::end`], because usage that arrived must not be lost.

use memchr::memchr2;

/// Longest event kept, in bytes of its data lines. Real events stay under 64 KiB; a longer one is
/// given up (its bytes still reach the client) so that one stream cannot fill the isolate.
pub const EVENT_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; empty where there was none.
    pub name: &'a [u8],
    /// The `data:` lines joined by line feeds.
    pub data: &'a [u8],
}

/// Cuts a byte stream into events. Chunks may end anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The unfinished line.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The last byte was CR: a LF right after belongs to the same line end.
    after_cr: bool,
    /// A byte order mark can only stand at the very start.
    started: bool,
    /// This event grew past the bound; drop it up to its blank line.
    too_long: bool,
    /// How many events were dropped for length.
    dropped: u32,
}

impl Decoder {
    /// Feeds one chunk; `on_event` sees each event that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], mut on_event: impl FnMut(&Event<'_>)) {
        while !chunk.is_empty() {
            if core::mem::take(&mut self.after_cr) && chunk.first() == Some(&b'\n') {
                chunk = chunk.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', chunk) else {
                self.keep(chunk);
                return;
            };
            let (line, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            self.after_cr = rest.first() == Some(&b'\r');
            chunk = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.finish_line(line, &mut on_event);
            } else {
                self.keep(line);
                let whole = core::mem::take(&mut self.line);
                self.finish_line(&whole, &mut on_event);
                self.line = whole; // keeps its room for the next cut line
                self.line.clear();
            }
        }
    }

    /// The stream is over: hands over what stood before the end.
    pub fn end(&mut self, mut on_event: impl FnMut(&Event<'_>)) {
        let last = core::mem::take(&mut self.line);
        if !last.is_empty() {
            self.finish_line(&last, &mut on_event);
        }
        self.dispatch(&mut on_event);
    }

    /// How many events were longer than [`EVENT_MAX`] and so not seen.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn keep(&mut self, part: &[u8]) {
        if self.line.len().saturating_add(part.len()) > EVENT_MAX {
            self.too_long = true;
            // Not emptied to nothing: the line goes on and must not look like a fresh one.
            self.line.truncate(1);
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn finish_line(&mut self, line: &[u8], on_event: &mut impl FnMut(&Event<'_>)) {
        let first = !core::mem::replace(&mut self.started, true);
        let line = if first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
        if line.is_empty() {
            self.dispatch(on_event);
        } else if !self.too_long {
            let (field, value) = split_field(line);
            match field {
                b"data" => self.add_data(value),
                b"event" => {
                    self.name.clear();
                    self.name.extend_from_slice(value);
                }
                _ => {} // comments, ids and retry times mean nothing to a meter
            }
        }
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.data.len().saturating_add(value.len()) >= EVENT_MAX {
            self.too_long = true;
            self.data.clear();
            return;
        }
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.data.extend_from_slice(value);
    }

    fn dispatch(&mut self, on_event: &mut impl FnMut(&Event<'_>)) {
        if self.too_long {
            self.dropped = self.dropped.saturating_add(1);
        } else if self.has_data {
            on_event(&Event { name: &self.name, data: &self.data });
        }
        self.too_long = false;
        self.has_data = false;
        self.name.clear();
        self.data.clear();
    }
}

/// `field: value`, `field:value` or `field`.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = memchr::memchr(b':', line) else { return (line, b"") };
    let (field, rest) = line.split_at_checked(colon).unwrap_or((line, b""));
    let value = rest.get(1..).unwrap_or_default();
    (field, value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut decoder = Decoder::default();
        for piece in pieces {
            decoder.feed(piece, |event| seen.push((text(event.name), text(event.data))));
        }
        decoder.end(|event| seen.push((text(event.name), text(event.data))));
        seen
    }

    fn datas(stream: &str) -> Vec<String> {
        decode(&[stream.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn the_standards_examples_decode_as_written_there() {
        assert_eq!(datas("data:\n\ndata\ndata\n\ndata:test\n\n"), ["", "\n", "test"]);
        assert_eq!(
            datas("data:1\r:\0\n:\r\ndata:2\n:x\rdata:3\n:data:fail\r:x\ndata:4\n\n"),
            ["1\n2\n3\n4"]
        );
        assert_eq!(datas("\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n"), ["1", "3"]);
        assert_eq!(datas("data: a\rdata:  b\r\rdata:c\r\n\r\n"), ["a\n b", "c"]);
    }

    #[test]
    fn an_event_cut_off_by_the_end_still_counts() {
        assert_eq!(datas("data: 1\n\ndata: 2\n"), ["1", "2"]);
        assert_eq!(datas("data: 1\n\ndata: 2"), ["1", "2"]);
    }

    #[test]
    fn an_endless_line_is_dropped_and_the_next_event_is_seen() {
        let mut decoder = Decoder::default();
        let mut seen = 0;
        decoder.feed(b"data: ", |_| seen += 1);
        for _ in 0..40 {
            decoder.feed(&"x".repeat(65_536).into_bytes(), |_| seen += 1);
        }
        assert!(decoder.line.capacity() <= 2 * EVENT_MAX);
        decoder.feed(b"\n\ndata: y\n\n", |event| {
            assert_eq!(event.data, b"y");
            seen += 1;
        });
        assert_eq!((seen, decoder.dropped()), (1, 1));
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_changes_nothing(
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
