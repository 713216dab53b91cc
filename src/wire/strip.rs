//! Takes the usage-only chunk out of a stream whose client did not ask for it.

use memchr::{memchr2_iter, memmem};

use super::scan::has_key;

/// Longest event held back to see whether it is the usage; that one is under a kilobyte.
const EVENT_MAX: usize = 64 * 1024;

/// Passes every byte on as soon as its event is complete, except the one event that carries usage
/// and no choices.
#[derive(Debug, Default)]
pub struct Strip {
    /// The usage's event goes on as well.
    keeps_usage: bool,
    /// The unfinished event; given up and passed on past [`EVENT_MAX`].
    held: Vec<u8>,
    /// How much of it was looked through for its end.
    searched: usize,
}

impl Strip {
    /// Passes on every event, the usage's too: only ever whole ones.
    pub fn keeping_usage() -> Self {
        Self { keeps_usage: true, ..Self::default() }
    }

    /// What of `chunk`, and of what was held before, may go to the client now.
    pub fn feed(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        let mut out = Vec::with_capacity(self.held.len());
        let mut rest = self.held.as_slice();
        let mut from = self.searched;
        while let Some(end) = event_end(rest, from) {
            let (event, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            if self.keeps_usage || !is_usage_only(event) {
                out.extend_from_slice(event);
            }
            rest = after;
            from = 0;
        }
        if rest.len() > EVENT_MAX {
            out.extend_from_slice(rest);
            rest = &[];
        }
        // An end cut in two begins in the last bytes; no more than these is looked at again.
        self.searched = rest.len().saturating_sub(BLANK_MAX);
        self.held = rest.to_vec();
        out
    }

    /// What is left when the stream ends.
    pub fn end(self) -> Vec<u8> {
        if !self.keeps_usage && is_usage_only(&self.held) { Vec::new() } else { self.held }
    }
}

/// Longest mark of a blank line.
const BLANK_MAX: usize = 4;

/// Where the first event ends, its blank line included; none ends before `from`. One pass, whatever
/// the events are: what follows the end is not looked at.
fn event_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..).unwrap_or_default();
    memchr2_iter(b'\n', b'\r', rest).find_map(|at| {
        let ahead = rest.get(at..).unwrap_or_default();
        let blank = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].into_iter();
        let mark = blank.filter(|mark| ahead.starts_with(mark)).map(<[u8]>::len).next()?;
        Some(from.saturating_add(at).saturating_add(mark))
    })
}

fn is_usage_only(event: &[u8]) -> bool {
    has_key(event, b"\"usage\"", |byte| byte == b'{') && has_empty_choices(event)
}

fn has_empty_choices(event: &[u8]) -> bool {
    memmem::find_iter(event, b"\"choices\"").any(|at| {
        let after = event.get(at.saturating_add(9)..).unwrap_or_default();
        let mut rest = after.iter().filter(|byte| !byte.is_ascii_whitespace());
        rest.next() == Some(&b':') && rest.next() == Some(&b'[') && rest.next() == Some(&b']')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[]\"}}],\"usage\":null}\n\n\
        : comment\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n";

    #[test]
    fn only_the_usage_chunk_is_taken_out_wherever_the_chunks_are_cut() {
        let want = STREAM.replace("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", "");
        for stream in [STREAM.to_owned(), STREAM.replace('\n', "\r\n"), STREAM.replace('\n', "\r")]
        {
            let ends = stream.strip_prefix("data").map(|s| s.contains("\r\n"));
            let want = match ends {
                Some(true) => want.replace('\n', "\r\n"),
                _ if stream.contains('\r') => want.replace('\n', "\r"),
                _ => want.clone(),
            };
            for cut in 1..40 {
                let mut strip = Strip::default();
                let mut out: Vec<u8> =
                    stream.as_bytes().chunks(cut).flat_map(|chunk| strip.feed(chunk)).collect();
                out.extend(strip.end());
                assert_eq!(String::from_utf8_lossy(&out), want);
            }
        }
    }

    #[test]
    fn a_complete_event_is_passed_on_at_once() {
        assert_eq!(Strip::default().feed(b"data: {\"choices\":[{}]}\n\n").len(), 24);
    }
}
