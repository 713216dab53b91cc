//! What must hold of a book before it may price anything.

use core::fmt;
use std::collections::{HashMap, HashSet};

use super::schema::{Document, Model, Rates};
use crate::money::Exact;

/// Most models in a book: five times the largest public catalogue.
pub const MODELS_MAX: usize = 20_000;

/// Why a book was refused. Names the place, so that it can be found in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookError {
    /// Not JSON, or not of the schema.
    Malformed(String),
    /// Of the schema, but with a value that cannot be meant.
    Invalid {
        /// Where: `models[3] (openai gpt-4o).rates.cache_read.per`.
        at: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(reason) => write!(f, "the price book cannot be read: {reason}"),
            Self::Invalid { at, problem } => {
                write!(f, "the price book is wrong at {at}: {problem}")
            }
        }
    }
}

fn invalid<T>(at: impl Into<String>, problem: impl Into<String>) -> Result<T, BookError> {
    Err(BookError::Invalid { at: at.into(), problem: problem.into() })
}

/// Checks the whole document and indexes its models by name and alias.
pub(super) fn index(document: &Document) -> Result<HashMap<String, Vec<usize>>, BookError> {
    if document.format != "farebox-book-1" {
        return invalid("format", "this Farebox reads \"farebox-book-1\" only");
    }
    if document.version.trim().is_empty() || document.version.len() > 64 {
        return invalid("version", "must be 1 to 64 characters; records name it");
    }
    let currency = document.currency.as_bytes();
    if currency.len() != 3 || !currency.iter().all(u8::is_ascii_uppercase) {
        return invalid("currency", "must be an ISO 4217 code such as \"USD\"");
    }
    if document.models.is_empty() || document.models.len() > MODELS_MAX {
        return invalid("models", format!("must hold 1 to {MODELS_MAX} models"));
    }
    let mut index: HashMap<String, Vec<usize>> = HashMap::new();
    let mut taken = HashSet::new();
    for (at, model) in document.models.iter().enumerate() {
        let place = format!("models[{at}] ({} {})", model.provider, model.model);
        check_model(&place, model)?;
        for name in core::iter::once(&model.model).chain(&model.aliases) {
            if !taken.insert((model.provider.as_str(), name.as_str())) {
                return invalid(place, format!("the name {name:?} is given twice"));
            }
            index.entry(name.clone()).or_default().push(at);
        }
    }
    Ok(index)
}

fn check_model(place: &str, model: &Model) -> Result<(), BookError> {
    if model.provider.is_empty() || model.model.is_empty() {
        return invalid(place, "provider and model must not be empty");
    }
    for (name, bound) in [
        ("context_window", model.context_window),
        ("max_output_tokens", model.max_output_tokens),
        ("typical_output_tokens", model.typical_output_tokens),
    ] {
        if bound.is_some_and(|bound| bound.to_u64().is_none()) {
            return invalid(format!("{place}.{name}"), "must be a whole number of tokens");
        }
    }
    check_rates(&format!("{place}.rates"), &model.rates)?;
    for (tier, rates) in &model.tiers {
        check_rates(&format!("{place}.tiers.{tier}"), rates)?;
    }
    model.cost.iter().try_for_each(|rates| check_rates(&format!("{place}.cost"), rates))
}

fn check_rates(place: &str, rates: &Rates) -> Result<(), BookError> {
    if rates.0.is_empty() {
        return invalid(place, "has no rate; a model without rates would be free");
    }
    for (meter, rate) in &rates.0 {
        let place = format!("{place}.{}", meter.as_str());
        if rate.amount.is_negative() {
            return invalid(place, "the amount is negative");
        }
        if rate.per <= Exact::ZERO {
            return invalid(place, "`per` must be above zero");
        }
        if rate.price(Exact::from(1)).is_err() {
            return invalid(
                place,
                "one unit has no exact price in 28 digits; choose another `per`",
            );
        }
    }
    Ok(())
}
