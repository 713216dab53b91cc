//! `farebox book costs`: joins what upstreams charge to what a book sells.

use std::path::PathBuf;

use serde_json::Value;

use crate::book::{Book, Situation};
use crate::cli::catalogue::CATALOGUE;
use crate::cli::{Failure, file, say, session};

/// Write the catalogue's prices into a book as the costs of its models; to standard output. The
/// result stands by itself: the gate needs no catalogue.
#[derive(clap::Args)]
pub(in crate::cli) struct Args {
    /// The book. Models may have no rates where they have a `markup`.
    book: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let catalogue = Book::open(CATALOGUE).map_err(|error| error.to_string())?;
    let text = file::terms(&args.book)?;
    let mut document: Value =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", args.book.display()))?;
    let now = Situation { at: Some(session::now()), ..Situation::default() };
    let models = document.get_mut("models").and_then(Value::as_array_mut);
    for model in models.into_iter().flatten() {
        let name =
            |field: &str| model.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (provider, name) = (name("provider"), name("model"));
        let found = catalogue.find(Some(&provider), &name).and_then(|model| model.card(&now));
        let Some(card) = found else {
            eprintln!(
                "{provider} {name}: the catalogue does not list it; its cost stays as it was"
            );
            continue;
        };
        if let Some(fields) = model.as_object_mut() {
            let card = serde_json::to_value(card.to_card()).map_err(|error| error.to_string())?;
            fields.insert("cost".into(), card);
        }
    }
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    Book::parse(&text).map_err(|error| error.to_string())?;
    say(&text)
}
