//! `farebox book push`: a new version for a gate, and what it changes, before it applies.

use std::io::{IsTerminal, Write, stdin};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::diff::compare;
use super::versions::{activation, activation_line, user};
use crate::book::Book;
use crate::cli::remote::{Gate, encoded};
use crate::cli::replay::{self, Totals};
use crate::cli::{Failure, file, say};
use crate::clock::Timestamp;

const HELP: &str = "\
Checks the book here, shows which rates differ from those of the book in force and what recent
usage would have cost, asks, and then pushes and activates it. Whatever goes wrong, the book in
force stays. A version never changes: other prices need a version of their own.

Exit codes: 0 done, or shown with --dry-run; 1 refused, failed or not confirmed; 64 wrong usage.";

/// Push a book to a gate and make it apply.
#[derive(clap::Args)]
#[command(after_help = HELP)]
pub(in crate::cli) struct Args {
    /// The book.
    book: PathBuf,
    /// From when on it applies, as 2026-12-01T00:00:00Z; without it, at once.
    #[arg(long, value_parser = at)]
    at: Option<Timestamp>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Usage records (NDJSON, a file or a folder) to show the effect on, instead of the gate's own
    /// newest ones.
    #[arg(long)]
    records: Option<PathBuf>,
    /// Who says so: kept with the activation.
    #[arg(long, default_value_t = user())]
    by: String,
    #[command(flatten)]
    gate: Gate,
}

/// Lines of each kind that are shown of a difference; `farebox book diff` shows all.
const SHOWN_MAX: usize = 40;

pub(super) fn at(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|()| "write it as 2026-12-01T00:00:00Z".to_owned())
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let text = file::terms(&args.book)?;
    let new = Book::parse(&text).map_err(|error| {
        let faults: Vec<String> = error.faults.iter().map(|fault| format!("\n  {fault}")).collect();
        format!("{}: the book is wrong:{}", args.book.display(), faults.concat())
    })?;
    let listed = args.gate.call("GET", "books", &json!({}))?;
    let old_version = in_force(&listed);
    // Where the book in force cannot be read, a new one must be possible all the same.
    let old = book_of(&args.gate, &old_version);
    let effect = match &old {
        Ok(old) => effect(args, old, &new),
        Err(why) => Err(why.clone()),
    };
    let mut answer = json!({ "version": new.version(), "in_force": old_version, "pushed": false });
    if json {
        let difference = old.as_ref().ok().map(|old| compare(old, &new));
        set(&mut answer, "difference", json!(difference));
        set(&mut answer, "effect", json!(effect.as_ref().ok().map(|(totals, _)| totals)));
        set(&mut answer, "partial", json!(effect.as_ref().is_ok_and(|(_, partial)| *partial)));
    } else {
        show(&new, &old_version, &old, &effect)?;
    }
    if !args.dry_run {
        confirm(args, new.version())?;
        let pushed = args.gate.send("PUT", "books", text)?;
        drop(pushed);
        let done = activation(&args.gate, new.version(), args.at, &args.by).map_err(|why| {
            format!("version {} is pushed but does not apply: {why}", new.version())
        })?;
        if !json {
            return say(&activation_line(&done));
        }
        set(&mut answer, "pushed", json!(true));
        set(&mut answer, "activation", done);
    }
    if json { say(&answer.to_string()) } else { Ok(()) }
}

fn set(answer: &mut Value, name: &str, value: Value) {
    if let Some(answer) = answer.as_object_mut() {
        answer.insert(name.to_owned(), value);
    }
}

/// The version in force, by a gate's list.
fn in_force(listed: &Value) -> String {
    let of = |path: &str| listed.pointer(path).and_then(Value::as_str).map(ToOwned::to_owned);
    of("/active/version").or_else(|| of("/configured")).unwrap_or_default()
}

fn book_of(gate: &Gate, version: &str) -> Result<Book, Failure> {
    let text = gate.send("GET", &format!("books/{}", encoded(version)), String::new())?.text;
    Book::parse(&text).map_err(|error| error.to_string())
}

/// What the change does to recent usage, and whether that was all there is of it.
fn effect(args: &Args, old: &Book, new: &Book) -> Result<(Totals, bool), Failure> {
    if let Some(path) = &args.records {
        return Ok((replay::effect(path, old, new)?, false));
    }
    let records = args.gate.send("GET", "records", String::new())?;
    Ok((replay::effect_of(&records.text, old, new)?, records.is_partial))
}

fn show(
    new: &Book,
    old_version: &str,
    old: &Result<Book, Failure>,
    effect: &Result<(Totals, bool), Failure>,
) -> Result<(), Failure> {
    say(&format!("{old_version} (in force) -> {}", new.version()))?;
    match old {
        Ok(old) => compare(old, new).show(SHOWN_MAX)?,
        Err(why) => say(&format!("The book in force cannot be compared with: {why}"))?,
    }
    match effect {
        Ok((totals, is_partial)) => {
            let what = if *is_partial { "some of the archived usage" } else { "recent usage" };
            say(&format!("On {what}:"))?;
            totals.show()
        }
        Err(why) => say(&format!("The effect on recent usage is not known: {why}")),
    }
}

fn confirm(args: &Args, version: &str) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err("nothing was pushed: there is no terminal to ask on; say --yes".into());
    }
    let when = args.at.map_or("now".to_owned(), |at| format!("from {at} on"));
    eprint!("Price by {version} {when}? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(|error| error.to_string())?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("nothing was pushed".into()),
    }
}
