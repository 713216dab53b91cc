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
