//! AWS event stream: binary frames with a length, headers, a payload and two CRC-32 sums.
//!
//! ```text
//! total length u32 | headers length u32 | CRC of these 8 bytes u32
//! headers: (name length u8, name, type u8, value)* | payload | CRC of all before u32
//! ```

use super::sse::{EVENT_MAX, Sink};

/// Longest frame the format allows: 128 KiB of headers and 16 MiB of payload.
const FRAME_MAX: usize = 16 * 1024 * 1024 + 128 * 1024 + 16;
/// Longest headers kept; real ones are under 200 bytes.
const HEADERS_MAX: usize = 128 * 1024;
/// Length, headers' length and their CRC.
const PRELUDE: usize = 12;
/// The CRC at the end.
const TAIL: usize = 4;

/// Cuts a byte stream into frames. A frame whose sums are wrong ends the reading: its lengths can
/// no longer be trusted.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The prelude and headers of the frame at hand.
    head: Vec<u8>,
    /// The payload, while it is short enough to be handed over in one piece.
    data: Vec<u8>,
    in_parts: bool,
    /// Bytes of payload still to come.
    payload_left: usize,
    tail: Vec<u8>,
    sum: crc32fast::Hasher,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Prelude,
    Headers {
        length: usize,
    },
    Payload,
    Tail,
    Broken,
}

impl Decoder {
    /// Feeds one chunk; `sink` gets each payload under its event's type. A long payload whose sum
    /// turns out wrong has been seen in parts, but is not completed.
    pub fn feed(&mut self, mut chunk: &[u8], sink: &mut impl Sink) {
        while !chunk.is_empty() {
            chunk = match self.state {
                State::Prelude => self.prelude(chunk),
                State::Headers { length } => self.headers(chunk, length),
                State::Payload => self.payload(chunk, sink),
                State::Tail => self.tail(chunk, sink),
                State::Broken => return,
            };
        }
    }

    /// The bytes are not, or no longer, an event stream.
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Takes bytes until `head` has `want`; the rest, and whether it has.
    fn fill<'c>(&mut self, chunk: &'c [u8], want: usize) -> (&'c [u8], bool) {
        let missing = want.saturating_sub(self.head.len());
        let (take, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        self.head.extend_from_slice(take);
        (rest, self.head.len() >= want)
    }

    fn prelude<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        let (rest, full) = self.fill(chunk, PRELUDE);
        if !full {
            return rest;
        }
        let total = number(&self.head, 0);
        let headers = number(&self.head, 4);
        let sum = crc32fast::hash(self.head.get(..8).unwrap_or_default());
        let least = headers.saturating_add(PRELUDE).saturating_add(TAIL);
        let sound = total >= least && total <= FRAME_MAX && headers <= HEADERS_MAX;
        if !sound || usize::try_from(sum) != Ok(number(&self.head, 8)) {
            self.state = State::Broken;
            return rest;
        }
        self.sum.update(&self.head);
        self.payload_left = total.saturating_sub(least);
        self.next(State::Headers { length: headers });
        rest
    }

    fn headers<'c>(&mut self, chunk: &'c [u8], length: usize) -> &'c [u8] {
        let (rest, full) = self.fill(chunk, PRELUDE.saturating_add(length));
        if full {
            self.sum.update(self.head.get(PRELUDE..).unwrap_or_default());
            self.next(State::Payload);
        }
        rest
    }

    /// Moves on, past states that have nothing to read.
    fn next(&mut self, state: State) {
        self.state = match state {
            State::Headers { length: 0 } | State::Payload if self.payload_left == 0 => State::Tail,
            State::Headers { length: 0 } => State::Payload,
            state => state,
        };
    }

    fn payload<'c>(&mut self, chunk: &'c [u8], sink: &mut impl Sink) -> &'c [u8] {
        let (take, rest) = chunk.split_at_checked(self.payload_left).unwrap_or((chunk, &[]));
        self.sum.update(take);
        if !self.in_parts && self.data.len().saturating_add(take.len()) > EVENT_MAX {
            self.in_parts = true;
            sink.part(&self.data);
        }
        if self.in_parts {
            sink.part(take);
        } else {
            self.data.extend_from_slice(take);
        }
        self.payload_left = self.payload_left.saturating_sub(take.len());
        if self.payload_left == 0 {
            self.state = State::Tail;
        }
        rest
    }

    fn tail<'c>(&mut self, chunk: &'c [u8], sink: &mut impl Sink) -> &'c [u8] {
        let missing = TAIL.saturating_sub(self.tail.len());
        let (take, rest) = chunk.split_at_checked(missing).unwrap_or((chunk, &[]));
        self.tail.extend_from_slice(take);
        if self.tail.len() < TAIL {
            return rest;
        }
        let sum = core::mem::take(&mut self.sum).finalize();
        let name = event_type(self.head.get(PRELUDE..).unwrap_or_default());
        self.state = State::Prelude;
        if usize::try_from(sum) != Ok(number(&self.tail, 0)) {
            self.state = State::Broken;
        } else if self.in_parts {
            sink.parts_end(name);
        } else {
            sink.event(name, &self.data);
        }
        self.in_parts = false;
        self.data.clear();
        self.head.clear();
        self.tail.clear();
        rest
    }
}

/// The big-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> usize {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    four.and_then(|four| usize::try_from(u32::from_be_bytes(*four)).ok()).unwrap_or(usize::MAX)
}

/// The value of `:event-type`, or of `:exception-type` or `:error-code` marked as `error`.
fn event_type(mut headers: &[u8]) -> &[u8] {
    let mut name_of_event: &[u8] = b"";
    while let Some((name, value, rest)) = header(headers) {
        match name {
            b":event-type" => name_of_event = value,
            b":exception-type" | b":error-code" => return b"error",
            _ => {}
        }
        headers = rest;
    }
    name_of_event
}

/// The first header: its name, its value (of a string; else nothing), and what follows.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (kind, rest) = rest.split_first()?;
    let fixed = match kind {
        0 | 1 => Some(0_usize),
        2 => Some(1),
        3 => Some(2),
        4 => Some(4),
        5 | 8 => Some(8),
        9 => Some(16),
        _ => None,
    };
    if let Some(fixed) = fixed {
        return Some((name, b"", rest.get(fixed..)?));
    }
    let length = rest.first_chunk::<2>().map(|two| u16::from_be_bytes(*two))?;
    let (value, rest) = rest.get(2..)?.split_at_checked(usize::from(length))?;
    Some((name, value, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

    use super::*;
    use proptest::prelude::*;

    #[derive(Default, Debug, PartialEq)]
    struct Seen(Vec<(Vec<u8>, Vec<u8>)>, Vec<u8>);

    impl Sink for Seen {
        fn event(&mut self, name: &[u8], data: &[u8]) {
            self.0.push((name.to_vec(), data.to_vec()));
        }
        fn part(&mut self, data: &[u8]) {
            self.1.extend_from_slice(data);
        }
        fn parts_end(&mut self, name: &[u8]) {
            let data = core::mem::take(&mut self.1);
            self.0.push((name.to_vec(), data));
        }
    }

    fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in headers {
            block.push(u8::try_from(name.len()).unwrap());
            block.extend_from_slice(name.as_bytes());
            block.push(7);
            block.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            block.extend_from_slice(value.as_bytes());
        }
        let total = u32::try_from(16 + block.len() + payload.len()).unwrap();
        let mut out = total.to_be_bytes().to_vec();
        out.extend_from_slice(&u32::try_from(block.len()).unwrap().to_be_bytes());
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out.extend_from_slice(&block);
        out.extend_from_slice(payload);
        out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
        out
    }

    fn decode(bytes: &[u8], cut: usize) -> (Seen, bool) {
        let (mut decoder, mut seen) = (Decoder::default(), Seen::default());
        bytes.chunks(cut).for_each(|piece| decoder.feed(piece, &mut seen));
        (seen, decoder.is_broken())
    }

    #[test]
    fn frames_come_out_as_they_went_in_wherever_they_are_cut() {
        let long = vec![b'x'; EVENT_MAX + 7];
        let mut bytes = frame(&[(":message-type", "event"), (":event-type", "metadata")], b"{}");
        bytes.extend(frame(&[], b""));
        bytes.extend(frame(&[(":exception-type", "throttlingException")], b"{\"message\":\"no\"}"));
        bytes.extend(frame(&[(":event-type", "chunk")], &long));
        for cut in [1, 2, 3, 5, 7, 11, 13, 4096, usize::MAX] {
            let (seen, broken) = decode(&bytes, cut);
            let names: Vec<&[u8]> = seen.0.iter().map(|(name, _)| name.as_slice()).collect();
            assert_eq!(names, [&b"metadata"[..], b"", b"error", b"chunk"]);
            assert!(seen.0.last().unwrap().1 == long && !broken);
        }
    }

    #[test]
    fn one_wrong_bit_anywhere_ends_the_reading() {
        let bytes = frame(&[(":event-type", "metadata")], b"{\"usage\":{\"inputTokens\":1}}");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut wrong = bytes.clone();
                wrong[at] ^= 1 << bit;
                let (seen, broken) = decode(&wrong, 5);
                // A longer length waits for bytes that never come; all else is found out.
                assert!(seen.0.is_empty() && (broken || at < 12), "byte {at} bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 1_usize..9) {
            prop_assert_eq!(decode(&bytes, cut), decode(&bytes, usize::MAX));
        }

        #[test]
        fn any_headers_are_survived(block in prop::collection::vec(any::<u8>(), 0..60)) {
            event_type(&block);
        }
    }
}
