//! JSON Lines in, JSON Lines out: one line out for each line in, in order, whatever it was.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write, stdin, stdout};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Failure;

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
    mut work: impl FnMut(&str) -> Result<Value, LineError>,
) -> Result<(), Failure> {
    let input: Box<dyn BufRead> = match &args.file {
        Some(path) => Box::new(BufReader::new(
            File::open(path).map_err(|error| format!("{}: {error}", path.display()))?,
        )),
        None => Box::new(stdin().lock()),
    };
    let mut output = BufWriter::new(stdout().lock());
    for line in input.split(b'\n') {
        let line = line.map_err(|error| format!("input: {error}"))?;
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        let answer = work(&text).unwrap_or_else(|error| failed(&text, &error));
        writeln!(output, "{answer}").map_err(|error| format!("output: {error}"))?;
    }
    output.flush().map_err(|error| format!("output: {error}"))
}

fn failed(line: &str, error: &LineError) -> Value {
    let mut answer = json!({ "error": { "code": error.code, "message": error.message } });
    let id = serde_json::from_str::<Value>(line).ok().and_then(|value| value.get("id").cloned());
    if let (Some(id), Some(answer)) = (id, answer.as_object_mut()) {
        answer.insert("id".into(), id);
    }
    answer
}
