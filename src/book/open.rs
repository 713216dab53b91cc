//! Opening a book that was checked before: only its head and its names are read, so that a book of
//! thousands of models is ready at once, and the few that are asked for are read then.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::check::{self, BOOK_MAX, BookError, Faults, MODELS_MAX, Place};
use super::names::Names;
use super::schema::{Document, MarginGuard, Model, Pattern, Provider};
use super::{Book, markup};
use crate::clock::Timestamp;

/// A [`Document`] whose models are left as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    format: String,
    version: String,
    currency: String,
    effective_from: Timestamp,
    #[serde(default)]
    known_at: Option<Timestamp>,
    #[serde(default)]
    margin_guard: Option<MarginGuard>,
    #[serde(default)]
    providers: Vec<Provider>,
    #[serde(borrow)]
    models: Vec<&'a RawValue>,
}

/// What a [`Model`] answers to.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    provider: Cow<'a, str>,
    #[serde(borrow)]
    model: Cow<'a, str>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    families: Vec<Pattern>,
}

/// A model as it is written, and as it was read.
#[derive(Debug, Clone)]
pub(super) struct Row {
    written: Box<str>,
    read: OnceLock<Option<Box<Model>>>,
}

impl Row {
    /// The model. One that is not what it was when the book was checked is not sold.
    pub(super) fn model(&self) -> Option<&Model> {
        let read = || {
            let mut model: Model = serde_json::from_str(&self.written).ok()?;
            markup::apply(&mut model).ok()?;
            let mut faults = Faults::default();
            check::check_model(&Place::top("models", 0), &model, &mut faults);
            faults.is_empty().then(|| Box::new(model))
        };
        self.read.get_or_init(read).as_deref()
    }
}

impl Book {
    /// Opens a book that passed [`Book::parse`] before: the built-in ones, which a test checks. Reads
    /// its head and names only, many times faster; a model is read when it is first asked for.
    pub fn open(json: &str) -> Result<Self, BookError> {
        let mut faults = Faults::default();
        if json.len() > BOOK_MAX {
            faults.add("", format!("the book is longer than {BOOK_MAX} bytes"));
            return Err(faults.into_error());
        }
        read(json).map_err(|error| {
            faults.add("", error.to_string());
            faults.into_error()
        })
    }
}

fn read(json: &str) -> Result<Book, serde_json::Error> {
    let head: Head<'_> = serde_json::from_str(json)?;
    let mut names = Names::of(&head.providers, head.models.len());
    let mut rows = Vec::with_capacity(head.models.len());
    for row in head.models.iter().take(MODELS_MAX) {
        let named: Named<'_> = serde_json::from_str(row.get())?;
        let own = core::iter::once(&*named.model).chain(named.aliases.iter().map(String::as_str));
        names.add(&named.provider, own, &named.families);
        rows.push(Row { written: row.get().into(), read: OnceLock::new() });
    }
    let document = Document {
        format: head.format,
        version: head.version,
        currency: head.currency,
        effective_from: head.effective_from,
        known_at: head.known_at,
        margin_guard: head.margin_guard,
        providers: head.providers,
        models: Vec::new(),
    };
    Ok(Book { document, rows, names })
}
