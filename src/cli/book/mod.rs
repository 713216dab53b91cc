//! `farebox book`: check, compare, make and push price books.

mod costs;
mod diff;
mod import;
mod push;
mod versions;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, file, say};
use crate::book::{Book, BookError};

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Check a book and list every fault with its path.
    Check(CheckArgs),
    /// Show which rates differ between two books, and what that means for recorded usage.
    Diff(diff::Args),
    /// Write the upstreams' prices from the catalogue into a book, as the costs of its models.
    Costs(costs::Args),
    /// Make the catalogue of upstream costs from public price data.
    Import(import::Args),
    /// Push a book to a gate and make it apply: shows what changes, asks, and says from when on.
    Push(push::Args),
    /// Show which books a gate has, which applies, which will, and which did.
    List(versions::ListArgs),
    /// Make a pushed book apply: now, at a time, or again.
    Activate(versions::ActivateArgs),
}

/// Check a price book.
#[derive(clap::Args)]
pub(super) struct CheckArgs {
    /// The book.
    book: PathBuf,
}

pub(super) fn run(verb: &Verb, json: bool) -> Result<(), Failure> {
    match verb {
        Verb::Check(args) => check(args, json),
        Verb::Diff(args) => diff::run(args, json),
        Verb::Costs(args) => costs::run(args),
        Verb::Import(args) => import::run(args),
        Verb::Push(args) => push::run(args, json),
        Verb::List(args) => versions::list(args, json),
        Verb::Activate(args) => versions::activate(args, json),
    }
}

/// Reads a book.
pub(super) fn read(path: &Path) -> Result<Book, Failure> {
    parse(path)?.map_err(|error| format!("{}: {error}", path.display()))
}

fn parse(path: &Path) -> Result<Result<Book, BookError>, Failure> {
    Ok(Book::parse(&file::terms(path)?))
}

fn check(args: &CheckArgs, json: bool) -> Result<(), Failure> {
    let error = match parse(&args.book)? {
        Ok(book) => {
            let (version, models) = (book.version(), book.models().count());
            return say(&if json {
                serde_json::json!({ "ok": true, "version": version, "models": models }).to_string()
            } else {
                format!("OK · {version} · {models} models · {}", book.currency())
            });
        }
        Err(error) => error,
    };
    if json {
        say(&serde_json::json!({ "ok": false, "faults": error.faults, "more": error.more })
            .to_string())?;
    } else {
        error.faults.iter().try_for_each(|fault| say(&fault.to_string()))?;
    }
    let more = if error.more { " or more" } else { "" };
    Err(format!("{}: {} faults{more}", args.book.display(), error.faults.len()))
}
