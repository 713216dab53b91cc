//! The price book: one immutable, versioned JSON document with the rates of every model sold.
//!
//! In scope: reading, checking, finding a model by any of its names, and choosing the rates that
//! apply. Out of scope: arithmetic beyond one rate (`rating`) and where books are stored (the
//! shells).

mod check;
mod choose;
mod markup;
mod names;
mod open;
pub(crate) mod rates;
mod schema;
mod shape;
mod timeline;
mod twice;
mod version;

use crate::clock::Timestamp;
use check::{Faults, Place};
use names::Names;
use open::Rows;

pub use check::{BOOK_MAX, BookError, FAULTS_MAX, Fault, MODELS_MAX};
pub use choose::{CardRef, Situation, input_total, is_default_tier};
pub use rates::{Caps, Rate, Rates, Tiers};
pub use schema::{
    Card, ContextTier, Document, GuardAction, Hours, MarginGuard, Model, Pattern, Period, Provider,
    Variant,
};
pub use shape::SCHEMA;
pub use timeline::{Activation, InForce, SCHEDULED_MAX, TIMELINE_MAX, Timeline};

/// The book that is built into the Worker: what the demo sells.
pub const DEFAULT: &str = include_str!("../../books/default.json");

/// A price book that passed every check.
#[derive(Debug, Clone)]
pub struct Book {
    /// What it says; of an opened book without the models.
    document: Document,
    /// The models of an opened book, each read when it is first asked for.
    rows: Rows,
    names: Names,
}

impl Book {
    /// Reads and checks a book. A book with any fault is refused whole, with all its faults.
    ///
    /// ```
    /// use farebox::book::{Book, DEFAULT};
    /// let book = Book::parse(DEFAULT).unwrap();
    /// assert!(book.find(Some("openai"), "gpt-4o-mini").is_some());
    /// assert!(book.find(None, "openai/gpt-4o-mini").is_some());
    /// assert!(book.find(None, "gpt-nobody-knows").is_none());
    ///
    /// let broken = DEFAULT.replace(r#""amount": "0.15""#, r#""amount": "-0.15""#);
    /// let error = Book::parse(&broken).unwrap_err();
    /// assert_eq!(error.faults[0].at, "models[0].rates.input_uncached.amount");
    /// ```
    pub fn parse(json: &str) -> Result<Self, BookError> {
        let mut faults = Faults::default();
        if json.len() > BOOK_MAX {
            let problem = format!("{} bytes are too long: at most {BOOK_MAX} are read", json.len());
            faults.add("", problem);
            return Err(faults.into_error());
        }
        let mut document: Document = match serde_json::from_str(json) {
            Ok(document) => document,
            Err(error) => return Err(unreadable(json, &error, faults)),
        };
        for (at, model) in document.models.iter_mut().enumerate() {
            if markup::apply(model).is_err() {
                faults.add(Place::top("models", at), "cost × markup needs more than 28 digits");
            }
        }
        check::check(&document, &mut faults);
        if !faults.is_empty() {
            return Err(faults.into_error());
        }
        let mut names = Names::of(&document.providers, document.models.len());
        for model in &document.models {
            let own = core::iter::once(&model.model).chain(&model.aliases).map(String::as_str);
            names.add(&model.provider, own, &model.families);
        }
        Ok(Self { document, rows: Rows::default(), names })
    }

    /// All of its models, in book order.
    pub fn models(&self) -> impl Iterator<Item = &Model> {
        self.document.models.iter().chain(self.rows.iter())
    }

    /// What guards its margin.
    pub fn margin_guard(&self) -> Option<MarginGuard> {
        self.document.margin_guard
    }

    /// The version every record priced by it names.
    pub fn version(&self) -> &str {
        &self.document.version
    }

    /// When it starts to apply.
    pub fn effective_from(&self) -> Timestamp {
        self.document.effective_from
    }

    /// ISO 4217 code of every amount in it.
    pub fn currency(&self) -> &str {
        &self.document.currency
    }

    /// The model a name means, by any of its spellings. Without a provider: the provider written
    /// in front of the name, else whoever makes models of that name, else the only provider that
    /// lists it.
    pub fn find(&self, provider: Option<&str>, name: &str) -> Option<&Model> {
        self.at(self.names.find(provider, name)?)
    }

    fn at(&self, place: u32) -> Option<&Model> {
        let at = usize::try_from(place).ok()?;
        if self.rows.is_empty() { self.document.models.get(at) } else { self.rows.get(at) }
    }

    /// The model sold under a name, by the letter: a name, an alias, or a family that the book
    /// lists, and only one provider's. Guessing is for reports; what is forwarded must be what was
    /// priced.
    ///
    /// ```
    /// let book = farebox::book::Book::parse(farebox::book::DEFAULT).unwrap();
    /// assert!(book.sold("gpt-4o-mini").is_some());
    /// assert!(book.find(None, "GPT-4o-mini").is_some() && book.sold("GPT-4o-mini").is_none());
    /// ```
    pub fn sold(&self, name: &str) -> Option<&Model> {
        let by_letter =
            |model: &&Model| model.model == name || model.aliases.iter().any(|alias| alias == name);
        let listed = self.names.listing(name).filter_map(|at| self.at(at)).filter(by_letter);
        match one_providers(listed) {
            Ok(None) => {
                one_providers(self.names.claiming(name).filter_map(|at| self.at(at))).ok()?
            }
            found => found.ok()?,
        }
    }

    /// Whether the model that served is the one asked for: by name, by what the book knows of the
    /// names, or as a version of it. A deployment of Azure's says nothing of its model.
    ///
    /// ```
    /// let book = farebox::book::Book::parse(farebox::book::DEFAULT).unwrap();
    /// assert!(book.serves("openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18"));
    /// assert!(!book.serves("openai", "gpt-4o-mini", "gpt-4o-2024-08-06"));
    /// ```
    pub fn serves(&self, provider: &str, asked: &str, served: &str) -> bool {
        let place = |name| self.names.find(Some(provider), name);
        let known =
            |place: Option<u32>| place.is_some() && place == self.names.find(Some(provider), asked);
        provider == crate::wire::request::AZURE
            || version::same(asked, served)
            || known(place(served))
    }

    /// The id of a provider by any of its spellings.
    pub fn provider_id(&self, spelling: &str) -> Option<&str> {
        self.names.provider_id(spelling)
    }

    /// The book as a customer may see it: sell rates, no costs.
    pub fn projection(&self) -> Document {
        let models = self.models().cloned().collect();
        let mut document = Document { models, ..self.document.clone() };
        document.margin_guard = None;
        for model in &mut document.models {
            (model.cost, model.markup, model.disputed) = (None, None, None);
        }
        document
    }
}

/// The first of several models, which must be one provider's.
fn one_providers<'m>(mut models: impl Iterator<Item = &'m Model>) -> Result<Option<&'m Model>, ()> {
    let Some(first) = models.next() else { return Ok(None) };
    models.all(|other| other.provider == first.provider).then_some(Some(first)).ok_or(())
}

/// Every fault of a document that is not of the schema.
fn unreadable(json: &str, error: &serde_json::Error, mut faults: Faults) -> BookError {
    if let Ok(document) = serde_json::from_str::<serde_json::Value>(json) {
        twice::faults(json, &mut faults);
        shape::faults(&document, &mut faults);
        // Models of the right shape are checked all the same, so that one pass finds their faults.
        let models = document.get("models").and_then(serde_json::Value::as_array);
        for (at, model) in models.into_iter().flatten().enumerate().take(MODELS_MAX) {
            // From text, as everywhere: reading from a value as well would double the code.
            if let Ok(model) = serde_json::from_str(&model.to_string()) {
                check::check_model(&Place::top("models", at), &model, &mut faults);
            }
        }
    }
    if faults.is_empty() {
        // What none of these say: it is not JSON at all.
        faults.add("", error.to_string());
    }
    faults.into_error()
}

#[cfg(test)]
mod json_schema;
#[cfg(test)]
mod tests;
