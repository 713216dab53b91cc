//! JSON Lines in, JSON Lines out: one line out for each line in, in order, whatever it was.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write, stdin, stdout};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Failure;

/// Longest line read: an answer of 32 MiB in base64, with its request. A longer one costs its own
/// line an error, and no memory.
const LINE_MAX: usize = 64 << 20;

/// Where the lines come from.
#[derive(clap::Args)]
#[group(id = "lines")]
pub(super) struct Args {
    /// Read this file instead of standard input.
    file: Option<PathBuf>,
}

/// An error about one line.
pub(super) struct LineError {
    /// Stable code.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl LineError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Turns every line into one of output. A bad line gives `{"id"?, "error": {…}}` in its place.
pub(super) fn each(
    args: &Args,
    work: impl FnMut(&str) -> Result<Value, LineError>,
) -> Result<(), Failure> {
    let input: Box<dyn BufRead> = match &args.file {
        Some(path) => Box::new(BufReader::new(
            File::open(path).map_err(|error| format!("{}: {error}", path.display()))?,
        )),
        None => Box::new(stdin().lock()),
    };
    answer_each(input, stdout().lock(), LINE_MAX, work)
}

fn answer_each(
    mut input: impl BufRead,
    output: impl Write,
    longest: usize,
    mut work: impl FnMut(&str) -> Result<Value, LineError>,
) -> Result<(), Failure> {
    let mut output = BufWriter::new(output);
    let mut line = Vec::new();
    while next(&mut input, longest, &mut line).map_err(|error| format!("input: {error}"))? {
        let answer = match std::str::from_utf8(&line) {
            _ if line.len() > longest => {
                let message =
                    format!("The line is longer than {longest} bytes, the most there is.");
                failed("", &LineError::new("line_too_long", message))
            }
            Err(error) => {
                let message =
                    format!("The line is not UTF-8 from byte {} on.", error.valid_up_to());
                failed("", &LineError::new("invalid_utf8", message))
            }
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => work(text).unwrap_or_else(|error| failed(text, &error)),
        };
        writeln!(output, "{answer}").map_err(|error| format!("output: {error}"))?;
    }
    output.flush().map_err(|error| format!("output: {error}"))
}

/// Reads the next line, without its end, into `line`; false where there is none. Of a line that is
/// too long one byte more than the longest is kept, and the rest is passed over.
pub(super) fn next(
    input: &mut impl BufRead,
    longest: usize,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    line.clear();
    let mut any = false;
    loop {
        let piece = input.fill_buf()?;
        if piece.is_empty() {
            return Ok(any);
        }
        any = true;
        let text = piece.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let room = longest.saturating_add(1).saturating_sub(line.len());
        line.extend(text.iter().take(room));
        let ended = text.len() < piece.len();
        let used = text.len().saturating_add(usize::from(ended));
        input.consume(used);
        if ended {
            return Ok(true);
        }
    }
}

fn failed(line: &str, error: &LineError) -> Value {
    let mut answer = json!({ "error": { "code": error.code, "message": error.message } });
    let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
    if let (Some(id), Some(answer)) = (id, answer.as_object_mut()) {
        answer.insert("id".into(), id);
    }
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn answers(input: &[u8], longest: usize) -> Vec<Value> {
        let mut output = Vec::new();
        // A buffer shorter than the lines: every line is put together from pieces.
        let input = BufReader::with_capacity(3, input);
        let done = answer_each(input, &mut output, longest, |line| Ok(json!({ "got": line })));
        assert!(done.is_ok());
        let lines = output.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }

    #[test]
    fn every_line_is_answered_in_order_the_last_one_without_an_end_too() {
        let got = answers(b"one\n\ntwo\r\nthree", 100);
        assert_eq!(got, [json!({"got":"one"}), json!({"got":"two\r"}), json!({"got":"three"})]);
    }

    #[test]
    fn a_line_too_long_costs_itself_an_error_and_the_next_is_read_whole() {
        let got = answers(b"1234\n12345\n1234567890\nlast\n", 5);
        assert_eq!(got[1], json!({"got": "12345"}));
        assert_eq!(got[2]["error"]["code"], "line_too_long");
        assert_eq!(got[3], json!({"got": "last"}));
    }

    #[test]
    fn bytes_that_are_no_text_are_told_and_never_guessed_at() {
        let got = answers(b"ab\xffcd\nok\n", 100);
        assert_eq!(got[0]["error"]["code"], "invalid_utf8");
        assert_eq!(got[1], json!({"got": "ok"}));
    }
}
