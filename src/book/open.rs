//! Opening a book that was checked before: only its head and its names are read, so that a book of
//! thousands of models is ready at once, and the few that are asked for are read then.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use super::check::{self, BOOK_MAX, BookError, Faults, MODELS_MAX, Place};
use super::names::Names;
use super::schema::{Document, MarginGuard, Model, Pattern, Provider};
use super::{Book, markup};
use crate::clock::Timestamp;
use crate::walk::Walk;

/// A [`Document`] without its models.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
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
}

/// The models of an opened book, as they are written and as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    /// The whole book: one copy, and no row has its own.
    text: Arc<str>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Row {
    /// Where it stands in the text.
    written: Range<usize>,
    read: OnceLock<Option<Box<Model>>>,
}

impl Rows {
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A model. One that is not what it was when the book was checked is not sold.
    pub(super) fn get(&self, at: usize) -> Option<&Model> {
        let row = self.rows.get(at)?;
        let read = || {
            let mut model: Model =
                serde_json::from_str(self.text.get(row.written.clone())?).ok()?;
            markup::apply(&mut model).ok()?;
            let mut faults = Faults::default();
            check::check_model(&Place::top("models", 0), &model, &mut faults);
            faults.is_empty().then(|| Box::new(model))
        };
        row.read.get_or_init(read).as_deref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Model> {
        (0..self.rows.len()).filter_map(|at| self.get(at))
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

/// The head by the strict reader, the models' names in passing.
fn read(json: &str) -> Result<Book, serde_json::Error> {
    let mut head = String::from("{");
    let mut names = Names::of(&[], ROWS_USUAL);
    let mut rows = None;
    let mut walk = Walk::new(json);
    let walked = walk.object(|key, walk| {
        if key == "models" && rows.is_none() {
            rows = Some(self::rows(walk, &mut names)?);
            return Some(());
        }
        let separator = if head.len() > 1 { "," } else { "" };
        head.push_str(&format!("{separator}\"{key}\":{}", walk.skip()?));
        Some(())
    });
    head.push('}');
    let (Some(()), Some(rows), true) = (walked, rows, walk.is_done()) else {
        return Err(serde::de::Error::custom("its models cannot be read"));
    };
    let head: Head = serde_json::from_str(&head)?;
    names.served_by(&head.providers);
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
    Ok(Book { document, rows: Rows { text: json.into(), rows }, names })
}

/// Room for the models of a large book, so that its tables do not grow step by step.
const ROWS_USUAL: usize = 2_048;

fn rows(walk: &mut Walk<'_>, names: &mut Names) -> Option<Vec<Row>> {
    let mut rows = Vec::with_capacity(ROWS_USUAL);
    walk.list(|walk| {
        let row = row(walk, names)?;
        (rows.len() < MODELS_MAX).then(|| rows.push(row))
    })?;
    Some(rows)
}

/// One model's names, added to the book's.
fn row(walk: &mut Walk<'_>, names: &mut Names) -> Option<Row> {
    walk.peek()?;
    let start = walk.at();
    let (mut provider, mut model) = (None, None);
    let (mut aliases, mut families) = (Vec::<String>::new(), Vec::<Pattern>::new());
    walk.object(|key, walk| {
        match key {
            "provider" => provider = Some(walk.string()?),
            "model" => model = Some(walk.string()?),
            "aliases" => aliases = serde_json::from_str(walk.skip()?).ok()?,
            "families" => families = serde_json::from_str(walk.skip()?).ok()?,
            _ => drop(walk.skip()?),
        }
        Some(())
    })?;
    let model = model?;
    let own = core::iter::once(&*model).chain(aliases.iter().map(String::as_str));
    names.add(&provider?, own, &families);
    Some(Row { written: start..walk.at(), read: OnceLock::new() })
}
