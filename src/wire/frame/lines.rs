//! One message a line: NDJSON, and the text frames of a WebSocket written down.

use memchr::memchr2;

use super::sse::{EVENT_MAX, Sink};

/// Cuts a byte stream into lines; blank ones are passed over. Chunks may end anywhere.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    in_parts: bool,
}

impl Decoder {
    /// Feeds one chunk; `sink` sees each line that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl Sink) {
        while let Some(end) = memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            chunk = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.in_parts && line.len() <= EVENT_MAX {
                whole(line, sink);
            } else {
                self.keep(line, sink);
                self.end(sink);
            }
        }
        self.keep(chunk, sink);
    }

    /// The stream is over: hands over an unfinished line.
    pub fn end(&mut self, sink: &mut impl Sink) {
        if core::mem::take(&mut self.in_parts) {
            sink.parts_end(b"");
        } else {
            whole(&self.line, sink);
        }
        self.line.clear();
    }

    fn keep(&mut self, part: &[u8], sink: &mut impl Sink) {
        if !self.in_parts && self.line.len().saturating_add(part.len()) > EVENT_MAX {
            self.in_parts = true;
            sink.part(&self.line);
            self.line.clear();
        }
        if self.in_parts {
            sink.part(part);
        } else {
            self.line.extend_from_slice(part);
        }
    }
}

fn whole(line: &[u8], sink: &mut impl Sink) {
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
    if !line.is_empty() {
        sink.event(b"", line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Seen(Vec<Vec<u8>>, Vec<u8>, usize);

    impl Sink for Seen {
        fn event(&mut self, _: &[u8], data: &[u8]) {
            self.2 = self.2.max(data.len());
            self.0.push(data.to_vec());
        }
        fn part(&mut self, data: &[u8]) {
            self.1.extend_from_slice(data);
        }
        fn parts_end(&mut self, _: &[u8]) {
            let data = core::mem::take(&mut self.1);
            self.0.push(data);
        }
    }

    fn decode(text: &[u8], cut: usize) -> Vec<Vec<u8>> {
        let (mut decoder, mut seen) = (Decoder::default(), Seen::default());
        text.chunks(cut).for_each(|piece| decoder.feed(piece, &mut seen));
        decoder.end(&mut seen);
        assert!(seen.2 <= EVENT_MAX, "nothing longer is handed over in one piece");
        seen.0
    }

    #[test]
    fn a_line_of_any_length_comes_whole_and_blank_ones_are_passed_over() {
        let long = "x".repeat(3 * EVENT_MAX);
        let text = format!("\u{feff}a\n\n  \r\n{long}\rb");
        let want = [b"a".to_vec(), long.clone().into_bytes(), b"b".to_vec()];
        for cut in [1, 7, 65_536, 65_537, usize::MAX] {
            assert!(decode(text.as_bytes(), cut) == want, "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_changes_nothing(text in "[a \r\n]{0,40}", cut in 1_usize..8) {
            prop_assert_eq!(decode(text.as_bytes(), cut), decode(text.as_bytes(), usize::MAX));
        }
    }
}
