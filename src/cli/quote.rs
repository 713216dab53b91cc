//! `farebox quote`: what requests, documents and months can cost.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::catalogue::CATALOGUE;
use super::lines::{self, LineError};
use super::{Failure, book, file, replay, say, session};
use crate::book::Book;
use crate::plan::Plan;
use crate::quote::document::{Part, quote_document};
use crate::quote::month::{self, By, Days, Volume};
use crate::quote::quote_json;

/// Bound what requests cost: JSON Lines `{"id", "endpoint", "body", "at"?}` in, one quote a line out.
///
/// With --file, what a document costs to send to a model; with --month, what a month costs, from an
/// archive of usage records or from stated volumes.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lines: lines::Args,
    /// The price book; without one, the built-in catalogue.
    #[arg(long)]
    book: Option<PathBuf>,
    /// A document: text, a picture (.png, .jpg, .jpeg, .gif, .webp) or a .pdf. May be given again.
    #[arg(long = "file", requires = "models", conflicts_with_all = ["lines", "month"])]
    files: Vec<PathBuf>,
    /// The model to send it to. May be given again: one quote each.
    #[arg(long = "model", requires = "files")]
    models: Vec<String>,
    /// The longest answer.
    #[arg(long, requires = "files")]
    max_tokens: Option<u64>,
    /// Usage records (an NDJSON file or a folder), or volumes (a .json file).
    #[arg(long, conflicts_with = "lines")]
    month: Option<PathBuf>,
    /// Price the month by this plan instead of a book.
    #[arg(long, requires = "month", conflicts_with = "book")]
    plan: Option<PathBuf>,
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let book = || match &args.book {
        Some(path) => book::read(path),
        None => Book::open(CATALOGUE).map_err(|error| error.to_string()),
    };
    if let Some(path) = &args.month {
        let plan = args.plan.as_deref().map(plan).transpose()?;
        let volumes = volumes(path, plan.as_ref())?;
        let answer = match &plan {
            Some(plan) => month::quote_month(&volumes, By::Plan(plan)),
            None => month::quote_month(&volumes, By::Book(&book()?)),
        };
        return show("month", &answer, json);
    }
    let book = book()?;
    if args.files.is_empty() {
        return lines::each(&args.lines, |line| quote(line, &book));
    }
    let texts: Vec<Document> =
        args.files.iter().map(|path| document(path)).collect::<Result<_, _>>()?;
    let parts: Vec<Part<'_>> = texts.iter().map(Document::part).collect();
    let mut failed = None;
    for model in &args.models {
        let answer = quote_document(&book, model, &parts, args.max_tokens);
        failed = show(model, &answer, json).err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

fn quote(line: &str, book: &Book) -> Result<Value, LineError> {
    let invalid = |error: serde_json::Error| LineError::new("invalid_input", error.to_string());
    let answer = quote_json(book, line);
    let mut answer: Value = serde_json::from_str(&answer).map_err(invalid)?;
    let asked: Value = serde_json::from_str(line).map_err(invalid)?;
    if let (Some(id), Some(answer)) = (asked.get("id"), answer.as_object_mut()) {
        answer.insert("id".into(), id.clone());
    }
    Ok(answer)
}

enum Document {
    Text(String),
    Image,
    File,
}

impl Document {
    fn part(&self) -> Part<'_> {
        match self {
            Self::Text(text) => Part::Text(text),
            Self::Image => Part::Image,
            Self::File => Part::File,
        }
    }
}

/// By the name's ending; what is none of the known kinds must be text.
fn document(path: &Path) -> Result<Document, Failure> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    match ending.to_ascii_lowercase().as_str() {
        "png" | "jpg" | "jpeg" | "gif" | "webp" => {
            fs::metadata(path).map(|_| Document::Image).map_err(failed)
        }
        "pdf" => fs::metadata(path).map(|_| Document::File).map_err(failed),
        _ => fs::read_to_string(path).map(Document::Text).map_err(failed),
    }
}

fn plan(path: &Path) -> Result<Plan, Failure> {
    Plan::parse(&file::terms(path)?).map_err(|faults| format!("{}: {faults}", path.display()))
}

fn volumes(path: &Path, plan: Option<&Plan>) -> Result<Vec<Volume>, Failure> {
    if path.extension().is_some_and(|ending| ending == "json") {
        let text =
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        return month::read(&text)
            .map_err(|problem| format!("{}: {}", path.display(), problem.message));
    }
    let mut days = Days::default();
    for attempt in replay::attempts(path)?.values() {
        days.add(attempt).map_err(|error| error.to_string())?;
    }
    days.volumes(session::now(), plan).map_err(|error| error.to_string())
}

fn show(of: &str, answer: &str, json: bool) -> Result<(), Failure> {
    let value: Value = serde_json::from_str(answer).map_err(|error| error.to_string())?;
    let text = |path: &str| value.pointer(path).and_then(Value::as_str);
    if let (Some(code), Some(message)) = (text("/error/code"), text("/error/message")) {
        return Err(format!("{of}: {code}: {message}"));
    }
    if json {
        return say(answer);
    }
    let bound = |name: &str| text(&format!("/{name}")).unwrap_or("-").to_owned();
    let currency = bound("currency");
    say(&format!(
        "{of}: at least {} {currency}, expected {}, at most {}",
        bound("lower"),
        bound("expected"),
        bound("upper")
    ))?;
    for line in value.get("lines").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or("-");
        say(&format!(
            "  {}: {} x {} / {} = {}",
            part("meter"),
            part("quantity"),
            part("rate"),
            part("per"),
            part("amount")
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::book::DEFAULT;

    const CASES: &str = include_str!("../../tests/golden/quotes.jsonl");
    const EXPECTED: &str = include_str!("../../tests/golden/quotes.expected.txt");

    #[test]
    fn the_command_quotes_what_every_build_quotes() {
        let book = Book::parse(DEFAULT).unwrap();
        for (case, expected) in CASES.lines().zip(EXPECTED.lines()) {
            let case: Value = serde_json::from_str(case).unwrap();
            let request = case.get("request").unwrap().as_str().unwrap();
            let expected: Value = serde_json::from_str(expected).unwrap();
            let Ok(answer) = quote(request, &book) else {
                assert!(expected.get("error").is_some());
                continue;
            };
            assert_eq!(answer, expected, "{request}");
        }
    }

    #[test]
    fn a_document_is_a_request_and_its_pictures_are_bounded_by_the_book() {
        let book = Book::parse(DEFAULT).unwrap();
        let quoted = |parts: &[Part<'_>], model: &str| -> Value {
            serde_json::from_str(&quote_document(&book, model, parts, Some(100))).unwrap()
        };
        let upper = |value: &Value| -> crate::money::Exact {
            value.get("upper").unwrap().as_str().unwrap().parse().unwrap()
        };
        let text = quoted(&[Part::Text("A page.")], "gpt-4o");
        let picture = quoted(&[Part::Text("A page."), Part::Image], "gpt-4o");
        assert!(upper(&picture) > upper(&text));
        let unbounded = quoted(&[Part::File], "gpt-4o-mini");
        let code = json!("feature_not_priced");
        assert_eq!(unbounded.pointer("/error/code"), Some(&code), "{unbounded}");
    }
}
